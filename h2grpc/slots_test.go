package h2grpc_test

import (
	"bytes"
	"context"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// slow is a compressor that changes nothing and is slow with messages of ones.
type slow struct {
	release chan struct{}
	panics  bool
}

func (slow) Name() string { return "slow" }

func (slow) Compress(dst, src []byte) ([]byte, error) { return append(dst, src...), nil }

func (s slow) Decompress(dst, src []byte, _ int) ([]byte, error) {
	if src[0] == '1' {
		<-s.release
		if s.panics {
			panic("out of order")
		}
	}
	return append(dst, src...), nil
}

// TestSlots: a message that waits for the decompression of others waits no longer
// than its call lasts, on either end, and a compressor that panics does not keep its
// slot.
func TestSlots(t *testing.T) {
	slots := max(1, runtime.GOMAXPROCS(0)/2)
	large := func(digit byte) string { return string(bytes.Repeat([]byte{digit}, 1000)) }
	use := h2grpc.UseCompressor("slow")
	for name, serverWaits := range map[string]bool{"the server decompresses slowly": true, "the client does": false} {
		synctest.Test(t, func(t *testing.T) {
			stuck := slow{make(chan struct{}), serverWaits}
			quick := slow{make(chan struct{}), false}
			close(quick.release)
			s := setup{service: &testService{unary: echo}}
			s.server.Compressors, s.client.Compressors = []h2grpc.Compressor{quick}, []h2grpc.Compressor{stuck}
			if serverWaits {
				s.server.Compressors, s.client.Compressors = s.client.Compressors, s.server.Compressors
			}
			cc, _ := start(t, s)
			var first []<-chan result
			for range slots {
				first = append(first, invoke(t.Context(), cc, large('1'), use))
			}
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			if err := cc.Invoke(ctx, unaryMethod, msg(large('2')), new(raw), use); status.Code(err) != codes.DeadlineExceeded || time.Since(began) != time.Second {
				t.Errorf("%s: a call that gets no slot: %v after %v", name, err, time.Since(began))
			}
			if err := cc.Invoke(t.Context(), unaryMethod, msg("3"), new(raw), use); err != nil {
				t.Errorf("%s: a small message: %v", name, err)
			}
			close(stuck.release)
			want := codes.OK
			if serverWaits {
				want = codes.Unknown // it panics
			}
			for _, call := range first {
				if r := <-call; status.Code(r.err) != want {
					t.Errorf("%s: a slow call: %v, want %v", name, r.err, want)
				}
			}
			if err := cc.Invoke(t.Context(), unaryMethod, msg(large('2')), new(raw), use); err != nil {
				t.Errorf("%s: a call afterwards: %v", name, err)
			}
		})
	}
}

// held is a message whose decoding takes long.
type held struct {
	decoding *atomic.Int32
	release  chan struct{}
}

func (held) AppendTo(b []byte) ([]byte, error) { return b, nil }

func (h held) UnmarshalFrom([]byte) error {
	h.decoding.Add(1)
	<-h.release
	return nil
}

// TestSlotsLast: a message has its slot until it is decoded, since what it was
// decompressed into exists as long.
func TestSlotsLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quick := slow{make(chan struct{}), false}
		s := setup{service: &testService{unary: echo}}
		s.server.Compressors, s.client.Compressors = []h2grpc.Compressor{quick}, []h2grpc.Compressor{quick}
		cc, _ := start(t, s)
		reply := held{new(atomic.Int32), make(chan struct{})}
		slots := max(1, runtime.GOMAXPROCS(0)/2)
		var calls sync.WaitGroup
		for range slots + 3 {
			calls.Go(func() {
				if err := cc.Invoke(t.Context(), unaryMethod, msg(strings.Repeat("2", 1000)), reply, h2grpc.UseCompressor("slow")); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if n := int(reply.decoding.Load()); n != slots {
			t.Errorf("%d messages are decoded at once, want %d", n, slots)
		}
		close(reply.release)
		calls.Wait()
	})
}
