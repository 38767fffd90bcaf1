package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/health"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
)

// healthMain is the main function of a plugin that says how it is: its store by what
// becomes of it, and its disk by a function that looks when the host asks.
func healthMain() {
	current := health.NewServer()
	current.SetCheck("disk", func(context.Context) health.Status {
		if _, err := os.Stat(os.TempDir()); err != nil {
			return health.NotServing
		}
		return health.Serving
	})
	plugin.Serve(&plugin.ServeConfig{
		Handshake: handshake,
		Health:    current,
		Plugins: plugin.Set{"kv": plugin.ServeOnly(func(_ *plugin.Broker, s *h2grpc.Server) error {
			kvpb.RegisterKVServer(s, &reporting{health: current})
			return nil
		})},
	})
}

// reporting is a store that serves no more once it was told to close.
type reporting struct {
	kvpb.UnimplementedKVServer
	health *health.Server
}

func (r *reporting) Close(context.Context, *kvpb.CloseRequest) (*kvpb.CloseResponse, error) {
	r.health.SetServingStatus(plugin.HealthService, health.NotServing)
	return &kvpb.CloseResponse{}, nil
}

// A plugin tells its host how it is. Ping asks for the plugin as a whole; its other
// services have names of the application's choice.
func ExampleServeConfig_health() {
	ctx := context.Background()
	client, err := host.Start(ctx, &host.Config{Handshake: handshake, Cmd: exampleCommand("health")})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	fmt.Println("ping:", client.Ping(ctx))
	disk, err := health.Check(ctx, client.Conn(), "disk")
	fmt.Println("disk:", disk, err)
	if _, err := kvpb.NewKVClient(client.Conn()).Close(ctx, &kvpb.CloseRequest{}); err != nil {
		fmt.Println(err)
	}
	fmt.Println("not serving:", errors.Is(client.Ping(ctx), host.ErrNotServing))
	// Output:
	// ping: <nil>
	// disk: SERVING <nil>
	// not serving: true
}
