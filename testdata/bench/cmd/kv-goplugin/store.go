// Code generated from cmd/kvplugin/store.go by generate.sh. DO NOT EDIT.

package main

import (
	"bytes"
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
	kv "github.com/tenonrpc/tenon/plugin/bench/kv/kvgrpc"
	grpc "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// maxKeys bounds the store: a host that stores too many gets an error, and does not
	// exhaust the machine's memory.
	maxKeys = 1 << 20
	// maxBehind is how many changes a watcher may lag behind before its call
	// is ended. Changes never wait for those who watch them.
	maxBehind = 1024
)

// A store keeps values under keys, in memory. It implements kv.KVServer and may
// be used by several goroutines at once.
type store struct {
	kv.UnimplementedKVServer
	logger hclog.Logger
	print  func(text string) // prints a line on the plugin's standard output

	mu sync.Mutex
	// guarded by mu
	values   map[string][]byte // a value is never changed, only replaced
	watchers map[*watcher]bool
}

// A watcher is a call of Watch.
type watcher struct {
	prefix  string
	changes chan *kv.WatchResponse // sent to and closed under store.mu; closed if the call lags too far behind
}

func newStore(logger hclog.Logger, print func(text string)) *store {
	return &store{
		logger:   logger,
		print:    print,
		values:   make(map[string][]byte),
		watchers: make(map[*watcher]bool),
	}
}

func (s *store) Put(_ context.Context, in *kv.PutRequest) (*kv.PutResponse, error) {
	replaced, err := s.put(in.Key, in.Value)
	if err != nil {
		return nil, err
	}
	return &kv.PutResponse{Replaced: replaced}, nil
}

func (s *store) put(key string, value []byte) (replaced bool, err error) {
	if key == "" {
		return false, status.Error(codes.InvalidArgument, "the key is empty")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, replaced = s.values[key]
	if !replaced && len(s.values) >= maxKeys {
		return false, status.Errorf(codes.ResourceExhausted, "there are %d keys already, which is the limit", maxKeys)
	}
	s.values[key] = bytes.Clone(value)
	s.changed(kv.WatchResponse_KIND_PUT, key, s.values[key])
	return replaced, nil
}

func (s *store) get(key string) (value []byte, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, ok = s.values[key]
	return value, ok
}

func (s *store) Get(_ context.Context, in *kv.GetRequest) (*kv.GetResponse, error) {
	value, ok := s.get(in.Key)
	if !ok {
		return nil, status.Errorf(codes.NotFound, "there is no key %q", in.Key)
	}
	return &kv.GetResponse{Value: value}, nil
}

func (s *store) Delete(_ context.Context, in *kv.DeleteRequest) (*kv.DeleteResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.values[in.Key]
	if ok {
		delete(s.values, in.Key)
		s.changed(kv.WatchResponse_KIND_DELETED, in.Key, nil)
	}
	return &kv.DeleteResponse{Deleted: ok}, nil
}

// changed sends the watchers a change. s.mu is held.
func (s *store) changed(kind kv.WatchResponse_Kind, key string, value []byte) {
	for w := range s.watchers {
		if !strings.HasPrefix(key, w.prefix) {
			continue
		}
		select {
		case w.changes <- &kv.WatchResponse{Kind: kind, Key: key, Value: value}:
		default:
			close(w.changes) // it learns that it lags behind, having sent what it has
			delete(s.watchers, w)
		}
	}
}

// watch begins a watch and returns the entries at its beginning.
func (s *store) watch(prefix string) (*watcher, []*kv.WatchResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var present []*kv.WatchResponse
	for _, key := range slices.Sorted(maps.Keys(s.values)) {
		if strings.HasPrefix(key, prefix) {
			present = append(present, &kv.WatchResponse{Kind: kv.WatchResponse_KIND_PRESENT, Key: key, Value: s.values[key]})
		}
	}
	w := &watcher{prefix: prefix, changes: make(chan *kv.WatchResponse, maxBehind)}
	s.watchers[w] = true
	return w, present
}

// unwatch ends a watch.
func (s *store) unwatch(w *watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.watchers, w)
}

func (s *store) Watch(in *kv.WatchRequest, stream grpc.ServerStreamingServer[kv.WatchResponse]) error {
	w, present := s.watch(in.Prefix)
	defer s.unwatch(w)
	for _, event := range present {
		if err := stream.Send(event); err != nil {
			return err
		}
	}
	// The headers tell the caller that the watch has begun.
	if len(present) == 0 {
		if err := stream.SendHeader(nil); err != nil {
			return err
		}
	}
	for {
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case event, ok := <-w.changes:
			if !ok {
				return status.Errorf(codes.ResourceExhausted, "the watch is more than %d changes behind", maxBehind)
			}
			if err := stream.Send(event); err != nil {
				return err
			}
		}
	}
}

func (s *store) PutAll(stream grpc.ClientStreamingServer[kv.PutRequest, kv.PutAllResponse]) error {
	var stored int64
	for {
		in, err := stream.Recv()
		if err == io.EOF {
			return stream.SendAndClose(&kv.PutAllResponse{Stored: stored})
		}
		if err != nil {
			return err
		}
		if _, err := s.put(in.Key, in.Value); err != nil {
			return err
		}
		stored++
	}
}

func (s *store) GetAll(stream grpc.BidiStreamingServer[kv.GetRequest, kv.GetAllResponse]) error {
	for {
		in, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		out := &kv.GetAllResponse{Key: in.Key}
		if value, ok := s.get(in.Key); ok {
			out.Value = append([]byte{}, value...) // an empty value is not an absent one
		}
		if err := stream.Send(out); err != nil {
			return err
		}
	}
}

func (s *store) Say(_ context.Context, in *kv.SayRequest) (*kv.SayResponse, error) {
	log := s.logger.Info
	switch in.Level {
	case kv.SayRequest_LEVEL_UNSPECIFIED, kv.SayRequest_LEVEL_INFO:
	case kv.SayRequest_LEVEL_DEBUG:
		log = s.logger.Debug
	case kv.SayRequest_LEVEL_WARN:
		log = s.logger.Warn
	case kv.SayRequest_LEVEL_ERROR:
		log = s.logger.Error
	default:
		return nil, status.Errorf(codes.InvalidArgument, "there is no level %d", in.Level)
	}
	log(in.Text, "keys", s.size())
	s.print(in.Text)
	return &kv.SayResponse{}, nil
}

func (s *store) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.values)
}
