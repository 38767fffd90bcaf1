// Host-goplugin is a host on hashicorp/go-plugin that measures the life of
// plugins.
package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/tenonrpc/tenon/plugin/bench/kv"
	"github.com/tenonrpc/tenon/plugin/bench/kv/kvgrpc"
	"github.com/tenonrpc/tenon/plugin/bench/life/scenario"
	"google.golang.org/grpc"
)

func main() { scenario.Main(library{}) }

type library struct{}

func (library) Start(_ context.Context, path string, mode scenario.Mode) (scenario.Plugin, error) {
	if mode == scenario.P256 {
		return nil, fmt.Errorf("go-plugin has no AutoMTLS with %s", mode)
	}
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion:  kv.ProtocolVersion,
			MagicCookieKey:   kv.MagicCookieKey,
			MagicCookieValue: kv.MagicCookieValue,
		},
		Plugins:          plugin.PluginSet{kv.Name: storePlugin{}},
		Cmd:              exec.Command(path),
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		AutoMTLS:         mode == scenario.P521,
		Logger:           hclog.NewNullLogger(),
	})
	protocol, err := client.Client()
	if err != nil {
		client.Kill()
		return nil, err
	}
	store, err := protocol.Dispense(kv.Name)
	if err != nil {
		client.Kill()
		return nil, err
	}
	return &running{client, store.(kvgrpc.KVClient)}, nil
}

type running struct {
	client *plugin.Client
	store  kvgrpc.KVClient
}

func (r *running) Put(ctx context.Context, key string, value []byte) error {
	_, err := r.store.Put(ctx, &kvgrpc.PutRequest{Key: key, Value: value})
	return err
}

func (r *running) PID() int {
	pid, _ := strconv.Atoi(r.client.ID())
	return pid
}

func (r *running) Close() error {
	r.client.Kill()
	return nil
}

type storePlugin struct{ plugin.NetRPCUnsupportedPlugin }

func (storePlugin) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error {
	return fmt.Errorf("this is a host")
}

func (storePlugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return kvgrpc.NewKVClient(conn), nil
}
