package plugin_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
)

// limitsMain is the main function of a plugin with limits and an interceptor. They apply
// to its main server and to its brokered ones.
func limitsMain() {
	plugin.Serve(&plugin.ServeConfig{
		Handshake: handshake,
		Plugins:   plugin.Set{"kv": serveTable("users")},
		Server: h2grpc.ServerConfig{
			MaxRecvMessageSize:   1 << 10,
			MaxConcurrentStreams: 100,
			UnaryInterceptors:    []h2grpc.UnaryServerInterceptor{shout},
		},
		DrainTimeout: time.Second, // for calls in progress when the host stops the plugin
	})
}

// shout changes the answers of one method, whatever implements it.
func shout(ctx context.Context, req any, info *h2grpc.UnaryServerInfo, handler h2grpc.UnaryHandler) (any, error) {
	reply, err := handler(ctx, req)
	if entry, ok := reply.(*kvpb.Entry); ok && info.FullMethod == kvpb.KV_Get_FullMethodName {
		entry.Value = strings.ToUpper(entry.Value)
	}
	return reply, err
}

// A plugin's limits and interceptors are in ServeConfig.Server.
func ExampleServeConfig_server() {
	ctx := context.Background()
	client, err := host.Start(ctx, &host.Config{Handshake: handshake, Cmd: exampleCommand("limits")})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	kv := kvpb.NewKVClient(client.Conn())
	entry, err := kv.Get(ctx, &kvpb.GetRequest{Key: "ada"})
	fmt.Println(entry.GetValue(), err)
	_, err = kv.Get(ctx, &kvpb.GetRequest{Key: strings.Repeat("ada ", 1000)})
	fmt.Println(status.Code(err))
	// Output:
	// A ROW OF USERS <nil>
	// ResourceExhausted
}
