package plugin_test

import (
	"context"
	"fmt"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
)

// versionsMain is the main function of a plugin for old and new hosts.
func versionsMain() {
	cookie := handshake
	cookie.ProtocolVersion = 0 // the versions are the keys of the map
	plugin.Serve(&plugin.ServeConfig{
		Handshake: cookie,
		Versions: map[int]plugin.Set{
			1: {"kv": serveTable("the first generation")},
			2: {"kv": serveTable("the second generation")},
		},
	})
}

func serveTable(name string) plugin.Plugin {
	return plugin.ServeOnly(func(_ *plugin.Broker, s *h2grpc.Server) error {
		kvpb.RegisterKVServer(s, table{name: name})
		return nil
	})
}

// useTable is the host's half of the plugin. The type of its result is what Dispense
// returns.
func useTable() plugin.Plugin {
	return plugin.ClientOnly(func(_ context.Context, _ *plugin.Broker, cc *h2grpc.ClientConn) (kvpb.KVClient, error) {
		return kvpb.NewKVClient(cc), nil
	})
}

// The plugin serves the highest version that both sides speak.
func ExampleServeConfig_versions() {
	ctx := context.Background()
	for _, spoken := range []map[int]plugin.Set{
		{1: {"kv": useTable()}},                        // an old host
		{2: {"kv": useTable()}, 3: {"kv": useTable()}}, // a new one
	} {
		client, err := host.Start(ctx, &host.Config{
			Handshake: handshake,
			Versions:  spoken,
			Cmd:       exampleCommand("versions"),
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		defer client.Close()
		kv, err := host.Dispense[kvpb.KVClient](ctx, client, "kv")
		if err != nil {
			fmt.Println(err)
			return
		}
		entry, err := kv.Get(ctx, &kvpb.GetRequest{Key: "ada"})
		fmt.Println(client.Version(), entry.GetValue(), err)
	}
	// Output:
	// 1 a row of the first generation <nil>
	// 2 a row of the second generation <nil>
}
