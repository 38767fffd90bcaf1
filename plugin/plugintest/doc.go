// Package plugintest is for the tests of applications that use plugins. It is the
// one package of this module that imports testing: import it in tests alone.
//
// [New] joins a host and a plugin within the test's own process:
//
//	client := plugintest.New(t, plugin.Set{"kv": kvshared.Plugin{}})
//	kv := kvpb.NewKVClient(client.Conn())
//
// and [Dispense] goes one step further:
//
//	kv := plugintest.Dispense[kvpb.KVClient](t, plugin.Set{"kv": kvshared.Plugin{}}, "kv")
//
// Both halves are the real ones: what is in memory is the connections between
// them, and the plugin's process is goroutines. So everything works that works
// between two programs, the broker in both directions, versions, interceptors,
// limits, log lines and the end of either side, and a test with a pair can run
// within a bubble of testing/synctest. What a pair does not have is a process:
// there is no exit status, no crash but the test's own, and what the plugin
// prints to os.Stdout and os.Stderr goes where it goes in the test. To see that,
// start the program with package host.
//
// [Serve] serves a plugin of the test's on a real socket, for a host in another
// process to attach to: the way in which Terraform's and OpenTofu's acceptance
// tests run a provider.
package plugintest
