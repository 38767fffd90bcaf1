// Package kv is the store of values of the examples "grpc" and "negotiated".
package kv

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/interop/cases/examples/example"
	"github.com/tenonrpc/tenon/plugin/interop/cases/examples/kvpb"
)

// Use puts and gets values, as the arguments say.
func Use(ctx context.Context, client *host.Client, args []string) error {
	kv := kvpb.NewKVClient(client.Conn())
	switch {
	case len(args) == 2 && args[0] == "get":
		out, err := kv.Get(ctx, &kvpb.GetRequest{Key: args[1]})
		if err != nil {
			return err
		}
		fmt.Println(string(out.GetValue()))
		return nil
	case len(args) == 3 && args[0] == "put":
		_, err := kv.Put(ctx, &kvpb.PutRequest{Key: args[1], Value: []byte(args[2])})
		return err
	}
	return errors.New("the arguments must be: get <key>, or: put <key> <value>")
}

// Store keeps values in files of the directory that the plugin is started in.
type Store struct {
	kvpb.UnimplementedKVServer
	Written, Read string // what it adds to each value on its way in and out
}

// Plugin serves the store.
func (s *Store) Plugin() plugin.Plugin {
	return plugin.ServeOnly(func(_ *plugin.Broker, server *h2grpc.Server) error {
		kvpb.RegisterKVServer(server, s)
		return nil
	})
}

// Put implements the method of that name.
func (s *Store) Put(_ context.Context, in *kvpb.PutRequest) (*kvpb.Empty, error) {
	value := append(in.GetValue(), s.Written...)
	return &kvpb.Empty{}, os.WriteFile(example.File(in.GetKey()), value, 0o600)
}

// Get implements the method of that name.
func (s *Store) Get(_ context.Context, in *kvpb.GetRequest) (*kvpb.GetResponse, error) {
	value, err := os.ReadFile(example.File(in.GetKey()))
	if err != nil {
		return nil, err
	}
	return &kvpb.GetResponse{Value: append(value, s.Read...)}, nil
}
