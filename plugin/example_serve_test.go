package plugin_test

import (
	"context"
	"fmt"
	"os/exec"
	"sync"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
)

// handshake is what host and plugin have agreed on: both are compiled with it.
var handshake = plugin.Handshake{ProtocolVersion: 1, MagicCookieKey: "KV_PLUGIN", MagicCookieValue: "hello"}

// kvMain is the main function of the plugin.
func kvMain() {
	plugin.Serve(&plugin.ServeConfig{
		Handshake: handshake,
		Plugins: plugin.Set{"kv": plugin.ServeOnly(func(_ *plugin.Broker, s *h2grpc.Server) error {
			kvpb.RegisterKVServer(s, new(store))
			return nil
		})},
	})
	// Put here what the plugin must do before it exits.
}

// store is the service. Its methods are called by several goroutines at once.
type store struct {
	kvpb.UnimplementedKVServer
	values sync.Map
}

func (s *store) Put(_ context.Context, in *kvpb.Entry) (*kvpb.PutResponse, error) {
	s.values.Store(in.Key, in.Value)
	return &kvpb.PutResponse{}, nil
}

// A plugin is a program whose main function calls Serve. Here its host starts it.
func ExampleServe() {
	ctx := context.Background()
	client, err := host.Start(ctx, &host.Config{
		Handshake: handshake,
		Cmd:       exampleCommand("kv"), // exec.Command("/usr/lib/app/kv-plugin")
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	kv := kvpb.NewKVClient(client.Conn())
	if _, err := kv.Put(ctx, &kvpb.Entry{Key: "hello", Value: "world"}); err != nil {
		fmt.Println(err)
	}
	_, err = kv.Get(ctx, &kvpb.GetRequest{Key: "hello"})
	fmt.Println(err)
	fmt.Println(client.Close(), client.ExitStatus())

	// Without a host, it prints what it is.
	cmd := exampleCommand("kv")
	_, err = cmd.Output()
	fmt.Println("started by hand:", err)
	if failed, ok := err.(*exec.ExitError); ok {
		fmt.Printf("%s", failed.Stderr)
	}
	// Output:
	// rpc error: code = Unimplemented desc = method /example.kv.v1.KV/Get is not implemented
	// <nil> exit status 0
	// started by hand: exit status 1
	// This program is a plugin. The program that it belongs to starts it and talks
	// to it; started by hand it does nothing. Please run that program instead.
}
