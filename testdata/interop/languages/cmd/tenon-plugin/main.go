// Tenon-plugin is a plugin made with this library for hosts in other languages:
// a store of keys and values like cmd/kvplugin's, with what that example leaves
// out. It serves on TCP if asked to, calls its host back through the broker,
// and speaks two versions of the application's protocol.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"

	"github.com/tenonrpc/tenon/cmd/internal/kv"
	"github.com/tenonrpc/tenon/cmd/internal/kvshared"
	"github.com/tenonrpc/tenon/cmd/languages/callbackpb"
	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin"
)

func main() {
	network := flag.String("network", "", "where to serve: unix or tcp; empty for the platform's own")
	flag.Parse()
	logger := plugin.NewLogger(os.Stderr, "tenon-plugin")
	set := func(version int) plugin.Set {
		return plugin.Set{kvshared.Name: plugin.ServeOnly(func(broker *plugin.Broker, s *h2grpc.Server) error {
			impl := &store{logger: logger, values: map[string][]byte{"version": fmt.Append(nil, version)}}
			kv.RegisterKVServer(s, impl)
			callbackpb.RegisterCallbackServer(s, &caller{broker: broker, store: impl})
			return nil
		})}
	}
	plugin.Serve(&plugin.ServeConfig{
		Handshake: kvshared.Handshake,
		Versions:  map[int]plugin.Set{1: set(1), 2: set(2)},
		Sockets:   plugin.Sockets{Network: *network},
		Logger:    logger,
	})
}

// A store keeps values under keys. It has the calls that the broker is tried
// with. The key "version" holds the version of the protocol that was chosen.
type store struct {
	kv.UnimplementedKVServer
	logger plugin.Logger

	mu     sync.Mutex
	values map[string][]byte // guarded by mu
}

func (s *store) Put(_ context.Context, in *kv.PutRequest) (*kv.PutResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, replaced := s.values[in.Key]
	s.values[in.Key] = in.Value
	return &kv.PutResponse{Replaced: replaced}, nil
}

func (s *store) Get(_ context.Context, in *kv.GetRequest) (*kv.GetResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, ok := s.values[in.Key]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "there is no key %q", in.Key)
	}
	return &kv.GetResponse{Value: value}, nil
}

func (s *store) Say(_ context.Context, in *kv.SayRequest) (*kv.SayResponse, error) {
	s.logger.Warn(in.Text)
	fmt.Println(in.Text)
	return &kv.SayResponse{}, nil
}

// A caller calls the host back.
type caller struct {
	callbackpb.UnimplementedCallbackServer
	broker *plugin.Broker
	store  *store
}

// CallBack uses the broker both ways.
func (c *caller) CallBack(ctx context.Context, in *callbackpb.CallBackRequest) (*callbackpb.CallBackResponse, error) {
	conn, err := c.broker.Dial(ctx, in.HostStore)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := kv.NewKVClient(conn).Put(ctx, &kv.PutRequest{Key: in.Key, Value: in.Value}); err != nil {
		return nil, fmt.Errorf("putting into the host's store: %w", err)
	}
	// The server outlives this call, and ends with the broker.
	id, err := c.broker.Serve(context.WithoutCancel(ctx), func(s *h2grpc.Server) error {
		kv.RegisterKVServer(s, c.store)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &callbackpb.CallBackResponse{PluginStore: id}, nil
}
