package supervise_test

import (
	"context"
	"fmt"
	"os"

	"github.com/tenonrpc/tenon/plugin/host/supervise"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
)

// A client is made once. It works again after the plugin has crashed.
func ExampleStart() {
	s, err := supervise.Start(&supervise.Config{
		Name: "kv",
		Host: command("kv", ""), // Handshake, Cmd and so on, as for host.Start
		Event: func(e supervise.Event) {
			// Where an application counts restarts, or tells its operators. Calls wait for
			// nothing that is done here.
		},
	})
	if err != nil {
		fmt.Println(err) // a mistake in the configuration
		return
	}
	defer s.Close()
	kv := kvpb.NewKVClient(s)

	ctx := context.Background() // give calls a deadline: they wait while the plugin restarts
	_, err = kv.Put(ctx, &kvpb.Entry{Key: "hello"})
	fmt.Println("put:", err)

	old := s.Client()
	if p, err := os.FindProcess(old.PID()); err == nil {
		p.Kill() // it runs out of memory, say
	}
	<-old.Done()
	_, err = kv.Put(ctx, &kvpb.Entry{Key: "hello again"})
	fmt.Println("put:", err)
	st := s.Status()
	fmt.Println(st.Plugin, "is", st.State, "after", st.Restarts, "restart")
	// Output:
	// put: <nil>
	// put: <nil>
	// kv is ready after 1 restart
}

// A new version of a plugin takes over without a gap.
func ExampleSupervisor_Replace() {
	s, err := supervise.Start(&supervise.Config{Host: command("version 1", ""), Trial: -1})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	kv, ctx := kvpb.NewKVClient(s), context.Background()
	e, err := kv.Get(ctx, &kvpb.GetRequest{})
	fmt.Println(e.GetKey(), err)

	if err := s.Replace(ctx, command("version 2", "")); err != nil {
		fmt.Println("version 1 stays in use:", err)
	}
	e, err = kv.Get(ctx, &kvpb.GetRequest{})
	fmt.Println(e.GetKey(), err)
	// Output:
	// version 1 <nil>
	// version 2 <nil>
}
