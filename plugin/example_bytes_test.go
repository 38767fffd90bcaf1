package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
)

// bytesMain is the main function of a plugin that sends bytes without gRPC.
func bytesMain() {
	plugin.Serve(&plugin.ServeConfig{
		Handshake: handshake,
		Plugins: plugin.Set{"kv": plugin.ServeOnly(func(broker *plugin.Broker, s *h2grpc.Server) error {
			kvpb.RegisterKVServer(s, dumper{broker: broker})
			return nil
		})},
	})
}

type dumper struct {
	kvpb.UnimplementedKVServer
	broker *plugin.Broker
}

// Backup writes its bytes to a connection, without gRPC.
func (d dumper) Backup(ctx context.Context, in *kvpb.BackupRequest) (*kvpb.BackupResponse, error) {
	conn, err := d.broker.DialConn(ctx, in.Sink)
	if err != nil {
		return nil, err
	}
	n, err := io.WriteString(conn, "one=1\ntwo=2\n")
	return &kvpb.BackupResponse{Written: int64(n)}, errors.Join(err, conn.Close())
}

// Protocols other than gRPC use connections of their own, which are secured like the main
// one.
func ExampleBroker_AcceptConn() {
	ctx := context.Background()
	client, err := host.Start(ctx, &host.Config{Handshake: handshake, Cmd: exampleCommand("bytes")})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	id := client.Broker().NextID()
	called := make(chan error, 1)
	accepting, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, err := kvpb.NewKVClient(client.Conn()).Backup(ctx, &kvpb.BackupRequest{Sink: id})
		if err != nil {
			cancel() // the plugin will not dial
		}
		called <- err
	}()
	conn, err := client.Broker().AcceptConn(accepting, id)
	if err != nil {
		fmt.Println(err, <-called)
		return
	}
	defer conn.Close()
	dump, err := io.ReadAll(conn)
	fmt.Printf("%s%v %v\n", dump, err, <-called)
	// Output:
	// one=1
	// two=2
	// <nil> <nil>
}
