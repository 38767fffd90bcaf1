package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/cmd/internal/kv"
	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin"
)

// serve serves s in memory and returns a client of it.
func serve(t *testing.T, s *store) kv.KVClient {
	t.Helper()
	server := h2grpc.NewServer(nil)
	kv.RegisterKVServer(server, s)
	ours, theirs := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- server.ServeConn(context.Background(), theirs) }()
	conn := h2grpc.NewClient(&h2grpc.ClientConfig{
		Dial: func(context.Context) (net.Conn, error) { return ours, nil },
	})
	t.Cleanup(func() {
		conn.Close()
		server.Close()
		<-served
	})
	return kv.NewKVClient(conn)
}

func quiet() *store { return newStore(slog.New(slog.DiscardHandler), func(string) {}) }

func put(t *testing.T, client kv.KVClient, key, value string) (replaced bool) {
	t.Helper()
	out, err := client.Put(t.Context(), &kv.PutRequest{Key: key, Value: []byte(value)})
	if err != nil {
		t.Fatalf("Put %q: %v", key, err)
	}
	return out.Replaced
}

func TestPutGetDelete(t *testing.T) {
	client := serve(t, quiet())
	if put(t, client, "k", "one") {
		t.Error("the first Put of a key replaced it")
	}
	if !put(t, client, "k", "two") {
		t.Error("the second Put of a key did not replace it")
	}
	got, err := client.Get(t.Context(), &kv.GetRequest{Key: "k"})
	if err != nil || string(got.Value) != "two" {
		t.Errorf("Get: %q, %v; want the second value", got.GetValue(), err)
	}
	for _, want := range []bool{true, false} {
		deleted, err := client.Delete(t.Context(), &kv.DeleteRequest{Key: "k"})
		if err != nil || deleted.Deleted != want {
			t.Errorf("Delete: %v, %v; want %v", deleted.GetDeleted(), err, want)
		}
	}
	if _, err := client.Get(t.Context(), &kv.GetRequest{Key: "k"}); status.Code(err) != codes.NotFound {
		t.Errorf("Get of a deleted key: %v, want NotFound", err)
	}
	if _, err := client.Put(t.Context(), &kv.PutRequest{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("Put without a key: %v, want InvalidArgument", err)
	}
}

func TestWatch(t *testing.T) {
	s := quiet()
	client := serve(t, s)
	put(t, client, "a/2", "")
	put(t, client, "a/1", "x")
	put(t, client, "b", "")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watch, err := client.Watch(ctx, &kv.WatchRequest{Prefix: "a/"})
	if err != nil {
		t.Fatal(err)
	}
	want := func(kind kv.WatchResponse_Kind, key, value string) {
		t.Helper()
		event, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if event.Kind != kind || event.Key != key || string(event.Value) != value {
			t.Errorf("the event is %v, want %v of %s with the value %q", event, kind, key, value)
		}
	}
	want(kv.WatchResponse_KIND_PRESENT, "a/1", "x")
	want(kv.WatchResponse_KIND_PRESENT, "a/2", "")
	put(t, client, "b", "other")
	put(t, client, "a/1", "y")
	want(kv.WatchResponse_KIND_PUT, "a/1", "y")
	if _, err := client.Delete(ctx, &kv.DeleteRequest{Key: "a/2"}); err != nil {
		t.Fatal(err)
	}
	want(kv.WatchResponse_KIND_DELETED, "a/2", "")

	cancel()
	if event, err := watch.Recv(); status.Code(err) != codes.Canceled {
		t.Errorf("after the cancellation: %v, %v; want Canceled", event, err)
	}
}

// TestWatchOfNothing checks that a watcher learns that its watch has begun.
func TestWatchOfNothing(t *testing.T) {
	client := serve(t, quiet())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	watch, err := client.Watch(ctx, &kv.WatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Header(); err != nil {
		t.Errorf("no headers before the first event: %v", err)
	}
}

// TestSlowWatcher checks that a watcher which lags behind is ended, and that nothing
// waits for it.
func TestSlowWatcher(t *testing.T) {
	s := quiet()
	w, _ := s.watch("")
	for i := range maxBehind + 1 {
		if _, err := s.put(fmt.Sprint(i), nil); err != nil {
			t.Fatal(err)
		}
	}
	events := 0
	for range w.changes { // ends only if it was closed
		events++
	}
	if events != maxBehind {
		t.Errorf("the watcher had %d changes to send, want %d", events, maxBehind)
	}
	if len(s.watchers) != 0 {
		t.Error("the watcher is still told of changes")
	}
}

func TestPutAllGetAll(t *testing.T) {
	client := serve(t, quiet())
	putAll, err := client.PutAll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"empty", "full"} {
		value := map[string][]byte{"full": []byte("v")}[key]
		if err := putAll.Send(&kv.PutRequest{Key: key, Value: value}); err != nil {
			t.Fatal(err)
		}
	}
	if stored, err := putAll.CloseAndRecv(); err != nil || stored.Stored != 2 {
		t.Errorf("PutAll: %v, %v; want 2", stored.GetStored(), err)
	}

	getAll, err := client.GetAll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		key   string
		value []byte
	}{{"full", []byte("v")}, {"empty", []byte{}}, {"none", nil}} {
		if err := getAll.Send(&kv.GetRequest{Key: c.key}); err != nil {
			t.Fatal(err)
		}
		got, err := getAll.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if got.Key != c.key || !bytes.Equal(got.Value, c.value) || (got.Value == nil) != (c.value == nil) {
			t.Errorf("GetAll of %q: %q = %#v, want %#v", c.key, got.Key, got.Value, c.value)
		}
	}
	if err := getAll.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := getAll.Recv(); err != io.EOF {
		t.Errorf("the end of GetAll: %v, want EOF", err)
	}

	putAll, err = client.PutAll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := putAll.Send(&kv.PutRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := putAll.CloseAndRecv(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("PutAll without a key: %v, want InvalidArgument", err)
	}
}

func TestSay(t *testing.T) {
	var log bytes.Buffer
	var printed []string
	client := serve(t, newStore(plugin.NewLogger(&log, "kvplugin"), func(text string) { printed = append(printed, text) }))
	put(t, client, "k", "v")
	if _, err := client.Say(t.Context(), &kv.SayRequest{Level: kv.SayRequest_LEVEL_WARN, Text: "mind the gap"}); err != nil {
		t.Fatal(err)
	}
	if len(printed) != 1 || printed[0] != "mind the gap" {
		t.Errorf("printed %q, want the text once", printed)
	}
	var line map[string]any
	if err := json.Unmarshal(log.Bytes(), &line); err != nil {
		t.Fatalf("the log %q: %v", log.Bytes(), err)
	}
	stamp, _ := line["@timestamp"].(string)
	if _, err := time.Parse(time.RFC3339Nano, stamp); err != nil {
		t.Errorf("the time stamp is not as hosts expect it: %v", err)
	}
	delete(line, "@timestamp")
	want := map[string]any{"@level": "warn", "@message": "mind the gap", "@module": "kvplugin", "keys": 1.0}
	if fmt.Sprint(line) != fmt.Sprint(want) {
		t.Errorf("logged %v, want %v", line, want)
	}
	if _, err := client.Say(t.Context(), &kv.SayRequest{Level: 99}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("an unknown level: %v, want InvalidArgument", err)
	}
}
