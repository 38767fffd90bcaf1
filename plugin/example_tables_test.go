package plugin_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
)

// tablesMain is the main function of a plugin with one server for each object.
func tablesMain() {
	plugin.Serve(&plugin.ServeConfig{
		Handshake: handshake,
		Plugins: plugin.Set{"kv": plugin.ServeOnly(func(broker *plugin.Broker, s *h2grpc.Server) error {
			kvpb.RegisterKVServer(s, &tables{broker: broker, open: make(map[uint32]context.CancelFunc)})
			return nil
		})},
	})
}

type tables struct {
	kvpb.UnimplementedKVServer
	broker *plugin.Broker

	mu   sync.Mutex
	open map[uint32]context.CancelFunc // guarded by mu
}

// Open serves a table until Close is called for it, or the plugin ends. It does not use
// its own context, because that ends when Open returns, and the server would end with it.
func (t *tables) Open(_ context.Context, in *kvpb.OpenRequest) (*kvpb.OpenResponse, error) {
	served, end := context.WithCancel(context.Background())
	id, err := t.broker.Serve(served, func(s *h2grpc.Server) error {
		kvpb.RegisterKVServer(s, table{name: in.Table})
		return nil
	})
	if err != nil {
		end()
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open[id] = end
	return &kvpb.OpenResponse{Kv: id}, nil
}

// Close ends the server of a table.
func (t *tables) Close(_ context.Context, in *kvpb.CloseRequest) (*kvpb.CloseResponse, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	end, ok := t.open[in.Kv]
	if !ok {
		return nil, status.Error(codes.NotFound, "no such table is open")
	}
	delete(t.open, in.Kv)
	end()
	return &kvpb.CloseResponse{}, nil
}

type table struct {
	kvpb.UnimplementedKVServer
	name string
}

func (t table) Get(_ context.Context, in *kvpb.GetRequest) (*kvpb.Entry, error) {
	return &kvpb.Entry{Key: in.Key, Value: "a row of " + t.name}, nil
}

// A plugin serves each object that it creates under an id of its own. The host dials the
// id, and tells the plugin when it does not need the object any more.
func ExampleBroker_Dial() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel() // Dial would wait for ever for an id that is never announced
	client, err := host.Start(ctx, &host.Config{Handshake: handshake, Cmd: exampleCommand("tables")})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	tables := kvpb.NewKVClient(client.Conn())
	opened, err := tables.Open(ctx, &kvpb.OpenRequest{Table: "users"})
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
	users := kvpb.NewKVClient(cc)
	entry, err := users.Get(ctx, &kvpb.GetRequest{Key: "ada"})
	fmt.Println(entry.GetValue(), err)
	_, err = tables.Close(ctx, &kvpb.CloseRequest{Kv: opened.Kv})
	fmt.Println("closed:", err)
	// Output:
	// a row of users <nil>
	// closed: <nil>
}
