package certs_test

import (
	"context"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin/certs"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
	"github.com/tenonrpc/tenon/testdata/examples/kvshared"
)

// TestRotationUnderLoad replaces the certificates of both sides, and then their
// authority, while calls are made on connections that last and on new ones. None fails.
func TestRotationUnderLoad(t *testing.T) {
	old, next := newCA(t, "old"), newCA(t, "new")
	kv, host := newPlace(t, newPeer(t, old, "kv"), old), newPlace(t, newPeer(t, old, "host"), old)
	watch := func(p place) *certs.Reloader {
		return must(certs.Watch(certs.WatchConfig{Certificate: p.own, CAs: p.cas, Interval: 1}))(t)
	}
	atKV, atHost := watch(kv), watch(host)
	server := h2grpc.NewServer(&h2grpc.ServerConfig{TLS: atKV.PeerConfig("host")})
	kvpb.RegisterKVServer(server, kvshared.NewStore())
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	dial := func() *h2grpc.ClientConn {
		return h2grpc.NewClient(&h2grpc.ClientConfig{
			Dial: func(ctx context.Context) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
			},
			TLS: atHost.PeerConfig("kv"),
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var calls atomic.Int64
	progress := make(chan struct{}, 1)
	call := func(cc *h2grpc.ClientConn) bool {
		if _, err := kvpb.NewKVClient(cc).Put(ctx, &kvpb.Entry{Key: "a"}); err != nil {
			t.Errorf("after %d calls: %v", calls.Load(), err)
			return false
		}
		calls.Add(1)
		select {
		case progress <- struct{}{}:
		default:
		}
		return true
	}
	stop := make(chan struct{})
	stopped := func() bool {
		select {
		case <-stop:
			return true
		default:
			return false
		}
	}
	var workers sync.WaitGroup
	for i := range 4 {
		workers.Go(func() {
			cc := dial()
			defer func() { cc.Close() }()
			for ok := true; ok && !stopped(); ok = call(cc) {
				if i > 0 { // the first one keeps its connection
					cc.Close()
					cc = dial()
				}
			}
		})
	}
	settle := func() { // so that connections are made with what is there
		for range 40 {
			select {
			case <-progress:
			case <-ctx.Done():
				t.Fatal("no calls are made any more")
			}
		}
	}
	for range 3 {
		settle()
		// Both know both, then both get new certificates, then both know the new one alone.
		kv.trustAtOnce(t, old, next)
		host.trustAtOnce(t, old, next)
		settle()
		kv.putOwn(t, newPeer(t, next, "kv"))
		host.putOwn(t, newPeer(t, next, "host"))
		settle()
		kv.trustAtOnce(t, next)
		host.trustAtOnce(t, next)
		settle()
		old, next = next, newCA(t, "newer")
	}
	close(stop)
	workers.Wait()
	if err := atKV.Err(); err != nil {
		t.Error(err)
	}
	server.Close()
	<-served
}

// trustAtOnce replaces the file of authorities in one step, as is right under load.
func (p place) trustAtOnce(t testing.TB, cas ...*certs.CA) {
	t.Helper()
	persist(t, func() error { return certs.WriteCertificates(p.cas, certsOf(cas)...) })
}

// putOwn replaces the certificate alone.
func (p place) putOwn(t testing.TB, own *certs.Pair) {
	t.Helper()
	persist(t, func() error { return own.Write(p.own, "") })
}

// persist writes a file. Windows does not replace one that is being read at the moment.
func persist(t testing.TB, write func() error) {
	t.Helper()
	for tries := 0; ; tries++ {
		err := write()
		if err == nil {
			return
		}
		if runtime.GOOS != "windows" || tries == 10_000 {
			t.Fatal(err)
		}
	}
}
