package metadata_test

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc/metadata"
)

func TestMD(t *testing.T) {
	md := metadata.New(map[string]string{"Key": "a"})
	md.Append("KEY", "b", "c")
	md.Append("key")
	md.Set("Other", "x")
	md.Set("other")
	if want := (metadata.MD{"key": {"a", "b", "c"}, "other": {"x"}}); !reflect.DeepEqual(md, want) || md.Len() != 2 {
		t.Errorf("got %v", md)
	}
	if got := md.Get("kEY"); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("Get gives %q", got)
	}
	if md.Get("none") != nil {
		t.Error("a key that is not there has values")
	}
	c := md.Copy()
	c["key"][0] = "changed"
	c.Delete("OTHER")
	if md["key"][0] != "a" || len(md) != 2 || len(c) != 1 {
		t.Error("a copy is not one")
	}
	joined := metadata.Join(metadata.MD{"K": {"1"}}, nil, metadata.MD{"k": {"2", "3"}})
	if want := (metadata.MD{"k": {"1", "2", "3"}}); !reflect.DeepEqual(joined, want) {
		t.Errorf("Join gives %v", joined)
	}
	if got := metadata.Pairs("A", "1", "a", "2"); !reflect.DeepEqual(got, metadata.MD{"a": {"1", "2"}}) {
		t.Errorf("Pairs gives %v", got)
	}
}

func TestOddPairs(t *testing.T) {
	odd := []string{"a", "b", "c"}
	for name, f := range map[string]func(){
		"Pairs":                   func() { metadata.Pairs(odd...) },
		"AppendToOutgoingContext": func() { metadata.AppendToOutgoingContext(context.Background(), odd...) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s takes an odd number", name)
				}
			}()
			f()
		}()
	}
}

func TestOutgoing(t *testing.T) {
	if _, ok := metadata.FromOutgoingContext(t.Context()); ok {
		t.Error("a context without metadata has some")
	}
	for range metadata.Outgoing(t.Context()) {
		t.Error("a context without metadata yields some")
	}
	base := metadata.NewOutgoingContext(t.Context(), metadata.MD{"Key": {"1"}})
	left := metadata.AppendToOutgoingContext(base, "KEY", "2", "x", "y")
	right := metadata.AppendToOutgoingContext(base, "key", "3")
	deep := metadata.AppendToOutgoingContext(left, "key", "4")
	for _, c := range []struct {
		ctx  context.Context
		want metadata.MD
	}{
		{base, metadata.MD{"key": {"1"}}},
		{left, metadata.MD{"key": {"1", "2"}, "x": {"y"}}},
		{right, metadata.MD{"key": {"1", "3"}}},
		{deep, metadata.MD{"key": {"1", "2", "4"}, "x": {"y"}}},
		{metadata.NewOutgoingContext(deep, metadata.MD{"z": {""}}), metadata.MD{"z": {""}}},
		{metadata.AppendToOutgoingContext(t.Context(), "a", "b"), metadata.MD{"a": {"b"}}},
	} {
		got, ok := metadata.FromOutgoingContext(c.ctx)
		if !ok || !reflect.DeepEqual(got, c.want) {
			t.Errorf("got %v, want %v", got, c.want)
		}
		got["key"] = append(got["key"], "mine")
		all := metadata.MD{}
		for k, v := range metadata.Outgoing(c.ctx) {
			all.Append(k, v)
		}
		if !reflect.DeepEqual(all, c.want) {
			t.Errorf("Outgoing yields %v, want %v", all, c.want)
		}
		for range metadata.Outgoing(c.ctx) {
			break // does not go on
		}
	}
	kv := []string{"a", "1"}
	ctx := metadata.AppendToOutgoingContext(t.Context(), kv...)
	kv[1] = "changed"
	if md, _ := metadata.FromOutgoingContext(ctx); md.Get("a")[0] != "1" {
		t.Error("the caller's slice is kept")
	}
}

func TestIncoming(t *testing.T) {
	if _, ok := metadata.FromIncomingContext(t.Context()); ok || metadata.ValueFromIncomingContext(t.Context(), "a") != nil {
		t.Error("a context without metadata has some")
	}
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("a", "1", "a", "2"))
	for range 2 {
		md, ok := metadata.FromIncomingContext(ctx)
		if !ok || !maps.EqualFunc(md, metadata.MD{"a": {"1", "2"}}, slices.Equal[[]string]) {
			t.Errorf("got %v", md)
		}
		md["a"][0] = "changed"
		v := metadata.ValueFromIncomingContext(ctx, "A")
		if !slices.Equal(v, []string{"1", "2"}) {
			t.Errorf("got %q", v)
		}
		v[0] = "changed"
	}
	if metadata.ValueFromIncomingContext(ctx, "b") != nil {
		t.Error("a key that is not there has values")
	}
	if _, ok := metadata.FromOutgoingContext(ctx); ok {
		t.Error("incoming metadata goes out")
	}
}
