// Kv-goplugin is the example's plugin on hashicorp/go-plugin: the same store,
// served in the same process in the other library's way.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/tenonrpc/tenon/plugin/bench/kv"
	"github.com/tenonrpc/tenon/plugin/bench/kv/kvgrpc"
	"google.golang.org/grpc"
)

func main() {
	logger := hclog.New(&hclog.LoggerOptions{Name: "kvplugin", Output: os.Stderr, JSONFormat: true})
	store := newStore(logger, func(text string) { fmt.Println(text) })
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion:  kv.ProtocolVersion,
			MagicCookieKey:   kv.MagicCookieKey,
			MagicCookieValue: kv.MagicCookieValue,
		},
		Plugins:    plugin.PluginSet{kv.Name: &storePlugin{impl: store}},
		GRPCServer: plugin.DefaultGRPCServer,
		Logger:     logger,
	})
}

type storePlugin struct {
	plugin.NetRPCUnsupportedPlugin
	impl kvgrpc.KVServer
}

func (p *storePlugin) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	kvgrpc.RegisterKVServer(s, p.impl)
	return nil
}

func (*storePlugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return kvgrpc.NewKVClient(conn), nil
}
