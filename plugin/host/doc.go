// Package host starts plugins of the go-plugin protocol and talks to them over
// gRPC: plugins made with package plugin, with hashicorp/go-plugin, or with one
// of its ports to other languages.
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
// Hosts that need no set of plugins make their clients from [Client.Conn]:
//
//	kv := kvpb.NewKVClient(client.Conn())
//
// # Safe by default
//
// Host and plugin authenticate each other with certificates made for the
// occasion (AutoMTLS), and there is no falling back to anything less: what the
// host did not ask for is refused. Whether a plugin of another library asks for
// the host's certificate, the host can but say in its log: see Config.TLS. The
// plugin gets a small environment, a private directory for its sockets, and none
// of the host's own plugin variables. Nothing that it prints, sends or fails to send can block the host,
// use up its memory or change whom it trusts. What is not promised: a plugin is
// a program of this user and can do what this user can; the magic cookie keeps
// people from starting plugins by hand, and nobody else from anything.
//
// # What the plugin prints
//
// Lines on the process's stderr are log lines: they go to Config.Logger, hclog's
// with level and attributes, a crash as one record. What the plugin's program
// prints to its standard streams goes to the writers of Config.Output: of
// plugins made with package plugin to the last byte, however they end, through
// pipes of the host's; of others over the connection, as far as they have sent it.
//
// # The end
//
// [Client.Close] asks the plugin to end, then tells it with SIGTERM, and then
// kills it, all within Config.StopTimeout. A plugin that ends by itself closes
// [Client.Done]; [Client.Err] has its exit status and last words, and so have
// the errors of calls that failed because of it, for errors.As with an
// [*ExitError].
//
// A plugin does not outlive its host, however that ends: it holds the read end
// of a pipe whose write end the kernel closes with the host, and a plugin made
// with package plugin ends itself then, within two seconds. Where a Runner does not
// hand the pipe down, it goes by other signs; see plugin.ServeConfig.OutliveHost.
// Plugins made with other libraries have no such thing: they stay behind when a host
// is killed. On Windows the system ends every plugin with its host, of whatever
// library and at once: it is in a job object of the host's, unless Config.Detach is
// set or a Runner has launched it.
//
// Should the connection break while the plugin lives, calls in progress fail,
// and later ones connect anew; so do the broker and the plugin's output.
//
// # Leaving a plugin and coming back
//
// With Config.Detach a plugin is meant to outlive its host:
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
// The record says which process it is: on Linux by its start time, so that a
// process that has got the plugin's process id since is neither taken for it nor
// killed. On other systems the plugin can be asked to end, and is never killed.
// Under AutoMTLS the record holds the host's private key for this plugin.
// [ParseProviders] and [FormatProviders] are for Terraform's and OpenTofu's
// variable; plugin.TestMode serves without a host.
//
// # Other ways to start
//
// A [Runner] launches plugins in a container or a sandbox.
//
// # Packages beside this one
//
// Package verify says whether a plugin's file is the one that was approved, for
// Config.Verify. Package fleet finds several plugins, and starts and ends them
// together. Package confine takes rights from a plugin. This package imports none
// of them: who does not use them does not link them.
//
// # Files
//
// Start goes through its stages in this order: config.go checks the Config,
// environ.go, identity.go, place.go and socketdir.go prepare, process.go launches,
// handshake.go reads and checks the plugin's answer, connect.go and mux.go
// connect, where peers.go lets them, and streams.go opens the calls that stay
// open. attach.go takes the place of launching and of the handshake for a plugin
// that runs. shutdown.go is the way back, detach.go the other, and leftover.go
// clears up after plugins. Who may do what with which path is in SECURITY.md. output.go,
// stderr.go and outputs.go deal with what the plugin prints.
// Every limit is in limits.go.
package host
