package plugin_test

import (
	"context"
	"fmt"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
)

// tablesMain is the main function of a plugin with one server for each object.
func tablesMain() {
	plugin.Serve(&plugin.ServeConfig{
		Handshake: handshake,
		Plugins: plugin.Set{"kv": plugin.ServeOnly(func(broker *plugin.Broker, s *h2grpc.Server) error {
			kvpb.RegisterKVServer(s, tables{broker: broker})
			return nil
		})},
	})
}

type tables struct {
	kvpb.UnimplementedKVServer
	broker *plugin.Broker
}

// Open serves a table. It is there as long as the plugin: the context of this call
// ends when it returns, and would take the server with it.
func (t tables) Open(_ context.Context, in *kvpb.OpenRequest) (*kvpb.OpenResponse, error) {
	id, err := t.broker.Serve(context.Background(), func(s *h2grpc.Server) {
		kvpb.RegisterKVServer(s, table{name: in.Table})
	})
	return &kvpb.OpenResponse{Kv: id}, err
}

type table struct {
	kvpb.UnimplementedKVServer
	name string
}

func (t table) Get(_ context.Context, in *kvpb.GetRequest) (*kvpb.Entry, error) {
	return &kvpb.Entry{Key: in.Key, Value: "a row of " + t.name}, nil
}

// A plugin hands out a server for each object that it makes, and the host dials it.
func ExampleBroker_Dial() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel() // Dial waits for an id that is never announced
	client, err := host.Start(ctx, &host.Config{Handshake: handshake, Cmd: exampleCommand("tables")})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	opened, err := kvpb.NewKVClient(client.Conn()).Open(ctx, &kvpb.OpenRequest{Table: "users"})
	if err != nil {
		fmt.Println(err)
		return
	}
	cc, err := client.Broker().Dial(ctx, opened.Kv)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cc.Close()
	entry, err := kvpb.NewKVClient(cc).Get(ctx, &kvpb.GetRequest{Key: "ada"})
	fmt.Println(entry.GetValue(), err)
	// Output: a row of users <nil>
}
