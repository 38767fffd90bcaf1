// Host-tenon is a host on tenon that measures the life of plugins.
package main

import (
	"context"
	"log/slog"
	"os/exec"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/bench/kv"
	"github.com/tenonrpc/tenon/plugin/bench/kv/kvh2grpc"
	"github.com/tenonrpc/tenon/plugin/bench/life/scenario"
	"github.com/tenonrpc/tenon/plugin/host"
)

func main() { scenario.Main(library{}) }

type library struct{}

func (library) Start(ctx context.Context, path string, mode scenario.Mode) (scenario.Plugin, error) {
	config := &host.Config{
		Handshake: plugin.Handshake{
			ProtocolVersion:  kv.ProtocolVersion,
			MagicCookieKey:   kv.MagicCookieKey,
			MagicCookieValue: kv.MagicCookieValue,
		},
		Plugins: plugin.Set{kv.Name: plugin.ClientOnly(
			func(_ context.Context, _ *plugin.Broker, conn *h2grpc.ClientConn) (kvh2grpc.KVClient, error) {
				return kvh2grpc.NewKVClient(conn), nil
			})},
		Cmd:               exec.Command(path),
		InsecurePlaintext: mode == scenario.Plain,
		StopTimeout:       scenario.StopTimeout,
		Logger:            slog.New(slog.DiscardHandler),
	}
	if mode == scenario.P256 {
		config.Curve = host.P256
	}
	client, err := host.Start(ctx, config)
	if err != nil {
		return nil, err
	}
	store, err := host.Dispense[kvh2grpc.KVClient](ctx, client, kv.Name)
	if err != nil {
		client.Kill()
		return nil, err
	}
	return &running{client, store}, nil
}

type running struct {
	*host.Client
	store kvh2grpc.KVClient
}

func (r *running) Put(ctx context.Context, key string, value []byte) error {
	_, err := r.store.Put(ctx, &kvh2grpc.PutRequest{Key: key, Value: value})
	return err
}
