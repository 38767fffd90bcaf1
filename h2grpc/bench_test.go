package h2grpc_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

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
			cc, _ := start(b, setup{listen: listenSocket, service: &testService{unary: echo}})
			benchCalls(b, cc, c.callers, c.size)
		})
	}
}

// BenchmarkStream: messages from the server.
func BenchmarkStream(b *testing.B) {
	answer := raw(bytes.Repeat([]byte{'a'}, 100))
	cc, _ := start(b, setup{listen: listenSocket, service: &testService{stream: func(s h2grpc.ServerStream) error {
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

// BenchmarkBesideBlocked measures calls while the handler of another call blocks,
// each time anew, so that it may block the reader. The slowest call counts.
func BenchmarkBesideBlocked(b *testing.B) {
	block, release := make(chan struct{}), make(chan struct{})
	cc, _ := start(b, setup{listen: listenSocket, service: &testService{unary: func(_ context.Context, in *raw) (*raw, error) {
		if string(*in) == "block" {
			block <- struct{}{}
			<-release
		}
		return in, nil
	}}})
	took := make([]time.Duration, b.N)
	for i := range took {
		blocked := make(chan error)
		go func() { blocked <- cc.Invoke(context.Background(), unaryMethod, msg("block"), new(raw)) }()
		<-block
		begun := time.Now()
		if err := cc.Invoke(context.Background(), unaryMethod, msg("x"), new(raw)); err != nil {
			b.Fatal(err)
		}
		took[i] = time.Since(begun)
		release <- struct{}{}
		if err := <-blocked; err != nil {
			b.Fatal(err)
		}
		// Quick calls make the method quick again.
		for range 32 {
			if err := cc.Invoke(context.Background(), unaryMethod, msg("x"), new(raw)); err != nil {
				b.Fatal(err)
			}
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(took[len(took)-1].Microseconds()), "slowest-µs")
}

// BenchmarkPingPong sends a message back and forth on a stream.
func BenchmarkPingPong(b *testing.B) {
	for _, secure := range []bool{false, true} {
		b.Run(fmt.Sprintf("TLS=%v", secure), func(b *testing.B) {
			cc, _ := start(b, setup{listen: listenSocket, tls: secure, service: &testService{stream: echoStream}})
			s, err := cc.NewStream(context.Background(), &bidiDesc, bidiMethod)
			if err != nil {
				b.Fatal(err)
			}
			in, out := msg("12345678"), new(raw)
			b.ReportAllocs()
			for b.Loop() {
				if err := s.SendMsg(in); err != nil {
					b.Fatal(err)
				}
				if err := s.RecvMsg(out); err != nil {
					b.Fatal(err)
				}
			}
			s.CloseSend()
		})
	}
}
