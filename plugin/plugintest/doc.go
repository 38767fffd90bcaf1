// Package plugintest is for tests of applications that use plugins. It is the only
// package of this module that imports testing: import it only in tests.
//
// [New] joins a host and a plugin within the process of the test:
//
//	client := plugintest.New(t, plugin.Set{"kv": kvshared.Plugin{}})
//	kv := kvpb.NewKVClient(client.Conn())
//
// and [Dispense] also returns the application's client:
//
//	kv := plugintest.Dispense[kvpb.KVClient](t, plugin.Set{"kv": kvshared.Plugin{}}, "kv")
//
// Both halves are the real ones; only the connections between them are in memory, and the
// plugin's process is replaced by goroutines. Everything works that works between two
// programs: the broker in both directions, versions, interceptors, limits, log lines and
// the end of either side. A test with such a pair can run in a testing/synctest bubble.
// What is missing is the process: there is no exit status and no crash except the test's
// own, and what the plugin prints to os.Stdout and os.Stderr goes where the test's output
// goes. To test those, start the program with package host.
//
// [Serve] serves a plugin of the test on a real socket, for a host in another process to
// attach to, as the acceptance tests of Terraform and OpenTofu run a provider.
package plugintest
