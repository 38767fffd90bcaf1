// Package supervise keeps a plugin running. It starts the plugin, watches it, starts it
// again when it has ended, and replaces it by a new binary without a gap. What calls are
// made on stays the same meanwhile:
//
//	s, err := supervise.Start(&supervise.Config{Host: &host.Config{
//		Handshake: kvshared.Handshake,
//		Cmd:       exec.Command("./kvplugin"),
//	}})
//	if err != nil {
//		log.Fatal(err)
//	}
//	defer s.Close()
//
//	kv := kvpb.NewKVClient(s) // once, for all processes that there will be
//
// # Restarts
//
// A plugin that has ended, or could not be started, is started again after a wait, which
// grows with the number of failures in a row (Restart.Backoff): 0.1 s, 0.2 s and so on up
// to 5 s. The failures are forgotten when a process has been ready for a minute
// (Restart.Stable), not before, so that a plugin that crashes a second after each start
// meets the end of all trying: after ten failures (Restart.Failures) the supervisor gives
// up. So it does at once for an error of Config.Prepare that wraps ErrDoNotRestart, for
// an error of Restart.Decide, and if the first start fails in a way that trying again
// cannot help: a checksum, a version, a cookie, no such file (see [retry.Helps]). From
// then on calls fail with a *GaveUpError, which has the last exits, until Replace.
//
// # Calls
//
// A call goes to the process that is ready. Without one it waits, as long as its context
// allows, or fails at once (Config.FailFast, Supervisor.FailFast). A call that the
// plugin certainly did not get ([h2grpc.NotSent]) is made on the next process; no other
// call is ever made twice. So a call that was in progress when the plugin crashed fails
// with UNAVAILABLE and an *host.ExitError, and only the application can know whether it
// may be repeated. A stream belongs to one process: when that ends, RecvMsg returns such
// an error, and the application begins a new stream.
//
// When a process is ended in order, because it is replaced, idle or unhealthy, its calls
// and streams may go on for Config.Drain; after that they fail.
//
// # Health
//
// A plugin is ready when it has been started, Config.Prepare has returned, and it says
// that it serves (see plugin.ServeConfig.Health). It is then asked every ten seconds. If
// three answers in a row are bad, it gets no further calls. A plugin that does not serve
// is shut down when its calls have ended; one that does not answer is killed. A plugin
// without a health service counts as healthy when it answers at all.
//
// A process that has reached Limits.Age or Limits.Memory is replaced, as by Replace.
//
// # Several plugins
//
// Config.Needs lists supervisors whose plugins must be ready first. StopAll ends them in
// the reverse order.
//
// # Files
//
// run.go starts processes one after the other, and waits in between; keep.go keeps one
// in use, and replaces it; calls.go brings calls to it. state.go has the states, the
// events and the errors.
package supervise
