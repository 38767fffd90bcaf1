//go:build tenon_fastpath

package h2grpc_test

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/internal/fastpath"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// TestFastPathsChangeNothing: the results of calls of all kinds do not depend on the
// optimizations, each of which is left out once.
func TestFastPathsChangeNothing(t *testing.T) {
	for _, secure := range []bool{false, true} {
		plain := transcript(t, secure)
		if n := strings.Count(plain, "\n"); n < callsOfTranscript {
			t.Fatalf("the transcript has %d lines:\n%s", n, plain)
		}
		for _, name := range slices.Sorted(maps.Keys(fastpath.All)) {
			on := fastpath.All[name]
			if !*on {
				continue // by TENON_WITHOUT
			}
			*on = false
			got := transcript(t, secure)
			*on = true
			if got != plain {
				t.Errorf("TLS %t, without %s: %s", secure, name, firstDifference(got, plain))
			}
		}
	}
}

const callsOfTranscript = 400

// transcript returns a line for each of many calls, alone and beside one another, the
// same in each run.
func transcript(t *testing.T, secure bool) string {
	var lines [callsOfTranscript]string
	t.Run("", func(t *testing.T) { // so that all of it ends before the next
		cc, _ := start(t, setup{tls: secure, listen: listenSocket, service: &testService{unary: tellingUnary, stream: tellingStream}})
		var callers sync.WaitGroup
		for caller := range 10 {
			run := func() {
				rnd := rand.New(rand.NewPCG(uint64(caller), 11))
				for i := range callsOfTranscript / 10 {
					lines[caller*callsOfTranscript/10+i] = tellingCall(t.Context(), cc, rnd)
				}
			}
			if caller < 3 {
				run() // alone
			} else {
				callers.Go(run)
			}
		}
		callers.Wait()
	})
	return strings.Join(lines[:], "\n") + "\n"
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("call %d: %.500s\n%.500s", i, g[i], w[i])
		}
	}
	return "lengths"
}

// tellingUnary fails if the request's first byte is odd, and reports what it got.
func tellingUnary(ctx context.Context, in *raw) (*raw, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	h2grpc.SetHeader(ctx, metadata.Pairs("seen", fmt.Sprint(md["n"])))
	h2grpc.SetTrailer(ctx, metadata.Pairs("size", fmt.Sprint(len(*in)), "end-bin", "\x00\xff"))
	if len(*in) > 0 && (*in)[0]%2 == 1 {
		return nil, status.Errorf(codes.FailedPrecondition, "odd: %d, of %d bytes", (*in)[0], len(*in))
	}
	return in, nil
}

// tellingStream echoes and, at a message that begins with 0xff, fails.
func tellingStream(s h2grpc.ServerStream) error {
	s.SetTrailer(metadata.Pairs("kind", "stream"))
	for {
		m := new(raw)
		if err := s.RecvMsg(m); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if len(*m) > 0 && (*m)[0] == 0xff {
			return status.Error(codes.Aborted, "asked for")
		}
		if err := s.SendMsg(m); err != nil {
			return err
		}
	}
}

// tellingCall makes a call, and returns everything that it returned.
func tellingCall(ctx context.Context, cc *h2grpc.ClientConn, rnd *rand.Rand) string {
	if n := rnd.IntN(4); n > 0 {
		ctx = metadata.NewOutgoingContext(ctx, metadata.Pairs("n", fmt.Sprint(rnd.IntN(n))))
	}
	body := func() *raw {
		size := []int{0, 1, 100, 5000, 70_000, 1_300_000}[min(rnd.IntN(7), rnd.IntN(6))]
		b := raw(bytes.Repeat([]byte{byte(rnd.IntN(255))}, size))
		return &b
	}
	var head, trail metadata.MD
	h := fnv.New64a()
	if rnd.IntN(3) > 0 {
		in, out := body(), new(raw)
		err := cc.Invoke(ctx, unaryMethod, in, out, h2grpc.Header(&head), h2grpc.Trailer(&trail))
		h.Write(*out)
		return fmt.Sprintf("unary of %d: %d %x %v %v %v", len(*in), len(*out), h.Sum64(), err, head, trail)
	}
	s, err := cc.NewStream(ctx, &bidiDesc, bidiMethod, h2grpc.Trailer(&trail))
	if err != nil {
		return err.Error()
	}
	messages, ahead, fails := 1+rnd.IntN(60), 1+rnd.IntN(30), rnd.IntN(4) == 0
	bodies := make([]*raw, messages)
	for i := range bodies {
		bodies[i] = body()
	}
	room := make(chan struct{}, ahead) // for what is sent ahead of what is received
	var sender sync.WaitGroup
	sender.Go(func() {
		for _, b := range bodies {
			room <- struct{}{}
			if err := s.SendMsg(b); err != nil {
				return // RecvMsg returns the reason
			}
		}
		if fails {
			s.SendMsg(msg("\xff"))
		} else {
			s.CloseSend()
		}
	})
	received, total := 0, 0
	for {
		var m raw
		if err = s.RecvMsg(&m); err != nil {
			break
		}
		<-room
		received, total = received+1, total+len(m)
		h.Write(m)
	}
	sender.Wait()
	return fmt.Sprintf("stream of %d, %d ahead: %d messages, %d %x %v %v", messages, ahead, received, total, h.Sum64(), err, trail)
}
