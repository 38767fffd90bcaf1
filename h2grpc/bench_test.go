package h2grpc_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc"
)

// benchCalls divides b.N calls among callers.
func benchCalls(b *testing.B, cc *h2grpc.ClientConn, callers, size int) {
	in := raw(bytes.Repeat([]byte{'a'}, size))
	if err := cc.Invoke(context.Background(), unaryMethod, &in, new(raw)); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(2 * size))
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range callers {
		n := b.N / callers
		if i < b.N%callers {
			n++
		}
		wg.Go(func() {
			var out raw
			for range n {
				if err := cc.Invoke(context.Background(), unaryMethod, &in, &out); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkUnary: both ends in one process, over a unix socket.
func BenchmarkUnary(b *testing.B) {
	for _, c := range []struct{ callers, size int }{{1, 8}, {16, 8}, {128, 8}, {1, 64 << 10}, {1, 1 << 20}, {4, 1 << 20}} {
		b.Run(fmt.Sprintf("callers=%d/bytes=%d", c.callers, c.size), func(b *testing.B) {
			cc, _ := start(b, setup{listen: listenUnix, service: &testService{unary: echo}})
			benchCalls(b, cc, c.callers, c.size)
		})
	}
}

// BenchmarkStream: messages from the server.
func BenchmarkStream(b *testing.B) {
	answer := raw(bytes.Repeat([]byte{'a'}, 100))
	cc, _ := start(b, setup{listen: listenUnix, service: &testService{stream: func(s h2grpc.ServerStream) error {
		for range b.N {
			if err := s.SendMsg(&answer); err != nil {
				return err
			}
		}
		return nil
	}}})
	s, err := cc.NewStream(context.Background(), &serverDesc, serverMethod)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	if err := s.SendMsg(msg("go")); err != nil {
		b.Fatal(err)
	}
	var out raw
	for {
		if err := s.RecvMsg(&out); err == io.EOF {
			return
		} else if err != nil {
			b.Fatal(err)
		}
	}
}
