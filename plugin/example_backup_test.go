package plugin_test

import (
	"context"
	"fmt"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
)

// backupMain is the main function of a plugin that calls its host back.
func backupMain() {
	plugin.Serve(&plugin.ServeConfig{
		Handshake: handshake,
		Plugins: plugin.Set{"kv": plugin.ServeOnly(func(broker *plugin.Broker, s *h2grpc.Server) error {
			kvpb.RegisterKVServer(s, backup{broker: broker})
			return nil
		})},
	})
}

type backup struct {
	kvpb.UnimplementedKVServer
	broker *plugin.Broker
}

// Backup writes to the server of the host under the id that it was given.
func (b backup) Backup(ctx context.Context, in *kvpb.BackupRequest) (*kvpb.BackupResponse, error) {
	cc, err := b.broker.Dial(ctx, in.Sink)
	if err != nil {
		return nil, err
	}
	defer cc.Close()
	sink := kvpb.NewSinkClient(cc)
	out := new(kvpb.BackupResponse)
	for _, key := range []string{"one", "two"} {
		if _, err := sink.Write(ctx, &kvpb.Entry{Key: key}); err != nil {
			return nil, err
		}
		out.Written++
	}
	return out, nil
}

// sink is what the host serves to its plugin.
type sink struct{ kvpb.UnimplementedSinkServer }

func (sink) Write(_ context.Context, in *kvpb.Entry) (*kvpb.WriteResponse, error) {
	fmt.Println("the plugin writes", in.Key)
	return &kvpb.WriteResponse{}, nil
}

// A host serves a callback to its plugin, and passes the id to the plugin in a call of
// the application.
func ExampleBroker_Serve() {
	ctx := context.Background()
	client, err := host.Start(ctx, &host.Config{Handshake: handshake, Cmd: exampleCommand("backup")})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	lent, cancel := context.WithCancel(ctx)
	defer cancel() // sink is served until then
	id, err := client.Broker().Serve(lent, func(s *h2grpc.Server) error {
		kvpb.RegisterSinkServer(s, sink{})
		return nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	out, err := kvpb.NewKVClient(client.Conn()).Backup(ctx, &kvpb.BackupRequest{Sink: id})
	fmt.Println(out.GetWritten(), err)
	// Output:
	// the plugin writes one
	// the plugin writes two
	// 2 <nil>
}
