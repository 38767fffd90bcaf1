// Package kvshared is what the host and the plugin of the examples both compile
// in: the handshake, and both halves of the plugin.
package kvshared

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
)

// Handshake is what host and plugin agreed on.
var Handshake = plugin.Handshake{ProtocolVersion: 1, MagicCookieKey: "KV_PLUGIN", MagicCookieValue: "hello"}

// Plugin serves a store, and makes clients of it.
type Plugin struct{}

// GRPCServer is called in the plugin.
func (Plugin) GRPCServer(_ *plugin.Broker, s *h2grpc.Server) error {
	kvpb.RegisterKVServer(s, NewStore())
	return nil
}

// GRPCClient is called in the host.
func (Plugin) GRPCClient(_ context.Context, _ *plugin.Broker, cc *h2grpc.ClientConn) (any, error) {
	return kvpb.NewKVClient(cc), nil
}

// Store is a KV in memory.
type Store struct {
	kvpb.UnimplementedKVServer
	mu     sync.Mutex
	values map[string]string // guarded by mu
}

// NewStore returns a store that is empty.
func NewStore() *Store { return &Store{values: make(map[string]string)} }

// Put stores an entry.
func (s *Store) Put(_ context.Context, in *kvpb.Entry) (*kvpb.PutResponse, error) {
	if in.Key == "" {
		return nil, status.Error(codes.InvalidArgument, "the key is empty")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[in.Key] = in.Value
	return &kvpb.PutResponse{}, nil
}

// Get returns the entry of a key.
func (s *Store) Get(_ context.Context, in *kvpb.GetRequest) (*kvpb.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, ok := s.values[in.Key]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "%q has no value", in.Key)
	}
	return &kvpb.Entry{Key: in.Key, Value: value}, nil
}

// Entries returns the entries whose keys have a prefix, in order.
func (s *Store) Entries(prefix string) []*kvpb.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*kvpb.Entry
	for _, key := range slices.Sorted(maps.Keys(s.values)) {
		if strings.HasPrefix(key, prefix) {
			found = append(found, &kvpb.Entry{Key: key, Value: s.values[key]})
		}
	}
	return found
}
