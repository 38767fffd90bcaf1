// Package host starts plugins of the go-plugin protocol and talks to them over gRPC:
// plugins made with package plugin, with hashicorp/go-plugin, or with one of its ports
// to other languages.
//
// A host in twenty lines:
//
//	client, err := host.Start(ctx, &host.Config{
//		Handshake: kvshared.Handshake,
//		Plugins:   plugin.Set{"kv": kvshared.Plugin{}},
//		Cmd:       exec.Command("./kvplugin"),
//	})
//	if err != nil {
//		log.Fatal(err) // says what the plugin printed and what to do about it
//	}
//	defer client.Close()
//
//	kv, err := host.Dispense[kvpb.KVClient](ctx, client, "kv")
//	if err != nil {
//		log.Fatal(err)
//	}
//	_, err = kv.Put(ctx, &kvpb.PutRequest{Key: "hello", Value: []byte("world")})
//
// Here kvshared is a package that host and plugin share. It has the plugins and
//
//	var Handshake = plugin.Handshake{ProtocolVersion: 1, MagicCookieKey: "KV_PLUGIN", MagicCookieValue: "hello"}
//
// Hosts that need no set of plugins make their clients from [Client.Conn]:
//
//	kv := kvpb.NewKVClient(client.Conn())
//
// The files example*_test.go beside this package and package plugin have tested
// examples.
//
// # Safe by default
//
// Host and plugin authenticate each other with certificates made for this one launch
// (AutoMTLS), and nothing falls back to less: what the host did not ask for is refused.
// If a plugin of another library does not ask for the host's certificate, the host can
// only log a warning: see Config.TLS. The plugin gets a small environment, a private
// directory for its sockets, and none of the host's own plugin variables. Nothing that
// it prints, sends or fails to send can block the host, use up its memory or change
// whom it trusts. What is not promised: a plugin is a program of this user and can do
// what this user can; the magic cookie keeps people from starting plugins by hand, and
// protects from nothing else.
//
// Config.TLS is for certificates of your own, Config.InsecurePlaintext for none. A
// [Verifier] checks the plugin's file before it is executed.
//
// # Versions
//
// Config.ProtocolVersion with Config.Plugins is one version of the application's
// protocol; Config.Versions offers several. [Client.Version] returns the one that was
// agreed on, and [Dispense] makes the clients of that version.
//
// # More connections
//
// [Client.Broker] opens further connections, in both directions. To serve the plugin,
// the host passes an id in a call, and the plugin dials that id with its own broker:
//
//	id, err := client.Broker().Serve(ctx, func(s *h2grpc.Server) error {
//		kvpb.RegisterLogServer(s, logServer)
//		return nil
//	})
//	stream, err := kv.Watch(ctx, &kvpb.WatchRequest{Callback: id})
//
// To use a server that the plugin offers, the host dials the id that the plugin
// returned:
//
//	cc, err := client.Broker().Dial(ctx, reply.Id) // give ctx a deadline
//	defer cc.Close()
//
// See [plugin.Broker]. With Config.Multiplex all of these are streams of one
// connection.
//
// # What the plugin prints
//
// Lines on the process's stderr are log lines: they go to Config.Logger, with level and
// attributes if they are hclog's or JSON of another logger, and a crash as one record.
// A host that logs with hclog passes slog.New(sloghclog.ToLogger(logger)). What the
// plugin's program prints to its standard streams goes to the writers of Config.Output.
// From plugins made with package plugin it arrives to the last byte, however they end,
// through pipes that the host makes; from others over the connection, as far as they
// have sent it.
//
// # The end
//
// [Client.Close] asks the plugin to end, then sends SIGTERM, then kills it, all within
// Config.StopTimeout. When a plugin has ended by itself, [Client.Done] is closed;
// [Client.Err] has its exit status and the end of its stderr, and so have the errors of
// calls that failed because of it: errors.As finds an [*ExitError] in them.
//
// A plugin does not outlive its host, however the host ends: the plugin holds the read
// end of a pipe whose write end the kernel closes with the host, and a plugin made with
// package plugin then ends itself within two seconds. If a Runner does not pass the
// pipe on, the plugin detects its host's end by other means; see
// plugin.ServeConfig.OutliveHost. Plugins made with other libraries do none of this,
// and stay behind when a host is killed. On Windows the system ends every plugin, of
// whatever library, at once with its host, because it is in a job object of the host,
// unless Config.Detach is set or a Runner launched it.
//
// If the connection breaks while the plugin lives, calls in progress fail, and later
// ones connect again; so do the broker and the plugin's output.
//
// # Leaving a plugin and coming back
//
// With Config.Detach a plugin can outlive its host:
//
//	record, err := client.ReattachWithKey()
//	err = host.WriteReattach("kv.plugin", record)
//	err = client.Detach() // or the end of this process
//
// and later, in another process:
//
//	record, err := host.ReadReattach("kv.plugin")
//	client, err := host.Start(ctx, &host.Config{Handshake: …, Reattach: record})
//
// The record identifies the process: on Linux by its start time, so that a process that
// has received the plugin's process id since is neither taken for it nor killed. On
// other systems the plugin can be asked to end, but is never killed. Under AutoMTLS the
// record holds the host's private key for this plugin. [ParseProviders] and
// [FormatProviders] are for the variable of Terraform and OpenTofu; plugin.TestMode
// serves without a host.
//
// # Other ways to start
//
// A [Runner] launches plugins in a container or a sandbox; it returns a [Process].
// Config.StartCmd starts the command in another way, such as confined.
//
// # Packages beside this one
//
// Package plugin/host/verify makes Verifiers: is the plugin's file the one that was
// approved? Package plugin/host/fleet finds the plugins in a directory (Discover), and
// starts and ends several together (Group). Package plugin/host/retry starts a plugin
// again where that may help, and plugin/host/supervise keeps one running for months.
// Package plugin/host/metrics writes what it knows of them for Prometheus. Package
// plugin/host/errcode has codes for errors, and says what to do about each.
// Package plugin/host/confine takes rights from a plugin. This package imports none of
// them, so a program links only those that it uses.
// Package plugin/sloghclog has ToLogger, for hosts that log with hclog.
//
// # Files
//
// Start goes through its stages in this order: config.go checks the Config; environ.go,
// identity.go, place.go and socketdir.go prepare; verify.go checks the plugin's file;
// process.go launches; handshake.go reads and checks the plugin's answer; connect.go
// and mux.go connect, after the checks of peers.go; and streams.go opens the calls that
// stay open. For a running plugin, attach.go replaces launch and handshake. shutdown.go
// ends a plugin, detach.go lets it go, and leftover.go removes what plugins leave.
// output.go, stderr.go and outputs.go deal with what the plugin prints. limits.go has
// every limit. SECURITY.md has who may do what with which path.
package host
