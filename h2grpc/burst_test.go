package h2grpc_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/internal/fastpath"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// burst returns a stream's messages in one piece of bytes: cut into frames anywhere,
// some of them padded, with frames of other kinds in between.
func burst(rng *rand.Rand, id uint32, messages []string, last http2.Flags) string {
	body := ""
	for _, m := range messages {
		body += grpcMsg(m)
	}
	return string(recorded(func(p *script) {
		for len(body) > 0 {
			n := min(len(body), []int{1, 5, 105, 1000, 16 << 10}[rng.IntN(5)])
			flags := http2.Flags(0)
			if n == len(body) {
				flags = last
			}
			switch part := body[:n]; rng.IntN(20) {
			case 0:
				if n < 16<<10 {
					p.frame(http2.FrameData, flags|http2.FlagDataPadded, id, "\x03"+part+"\x00\x00\x00")
				} else {
					p.data(id, flags, part)
				}
			case 1:
				p.frame(0x77, 0, id, "no such type")
				p.data(id, flags, part)
			default:
				p.data(id, flags, part)
			}
			body = body[n:]
		}
	}))
}

// someMessages returns messages of all sizes that are treated differently.
func someMessages(rng *rand.Rand) (list []string) {
	for range rng.IntN(200) {
		n := []int{0, 1, 10, 100, 2043, 2044, 5000, 20_000}[min(rng.IntN(20), rng.IntN(9), 7)]
		list = append(list, strings.Repeat(string(rune('a'+rng.IntN(26))), n))
	}
	return append(list, "last")
}

func receiveAll(s interface{ RecvMsg(any) error }) (got []string, err error) {
	for {
		var m raw
		if err := s.RecvMsg(&m); err != nil {
			return got, err
		}
		got = append(got, string(m))
	}
}

// TestBursts: messages that arrive many at once are received as they were sent, on
// both ends.
func TestBursts(t *testing.T) {
	needs(t, fastpath.LoneWindow)
	rng := rand.New(rand.NewPCG(1, 2))
	synctest.Test(t, func(t *testing.T) {
		type outcome struct {
			got []string
			err error
		}
		outcomes := make(chan outcome, 1)
		p, _ := scriptClient(t, setup{service: &testService{stream: func(s h2grpc.ServerStream) error {
			got, err := receiveAll(s)
			outcomes <- outcome{got, err}
			return nil
		}}})
		for i := range uint32(50) {
			id, messages := 2*i+1, someMessages(rng)
			p.headers(id, 0, request(bidiMethod)...)
			p.bytes([]byte(burst(rng, id, messages, endStream)))
			if o := <-outcomes; o.err != io.EOF || !slices.Equal(o.got, messages) {
				t.Fatalf("burst %d: %d of %d messages are as they were sent, then %v", i, equal(o.got, messages), len(messages), o.err)
			}
			p.take()
			p.held = nil
		}
	})
	synctest.Test(t, func(t *testing.T) {
		p, cc := scriptServer(t, h2grpc.ClientConfig{})
		for i := range uint32(50) {
			id, messages := 2*i+1, someMessages(rng)
			s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
			if err != nil {
				t.Fatal(err)
			}
			s.CloseSend()
			go func() {
				p.headers(id, 0, response()...)
				p.bytes([]byte(burst(rng, id, messages, 0)))
				p.headers(id, endStream, "grpc-status=0")
			}()
			if got, err := receiveAll(s); err != io.EOF || !slices.Equal(got, messages) {
				t.Fatalf("burst %d: %d of %d messages are as they were sent, then %v", i, equal(got, messages), len(messages), err)
			}
			p.take()
			p.held = nil
		}
	})
}

// equal counts the messages before the first that differs.
func equal(a, b []string) (n int) {
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// TestFaultInBurst: messages before a fault count.
func TestFaultInBurst(t *testing.T) {
	for name, fault := range map[string]string{
		"a flag that does not exist": "\x02\x00\x00\x00\x01x",
		"a message over the limit":   "\x00\x00\x01\x00\x00",
		"an unfinished message":      "\x00\x00\x00\x00\x02x",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, cc := scriptServer(t, h2grpc.ClientConfig{MaxRecvMessageSize: 1000})
				s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
				if err != nil {
					t.Fatal(err)
				}
				s.CloseSend()
				p.headers(1, 0, response()...)
				p.bytes(recorded(func(r *script) {
					for range 20 {
						r.data(1, 0, grpcMsg("fine")+grpcMsg("fine"))
					}
					r.data(1, 0, grpcMsg("fine")+fault)
				}))
				p.headers(1, endStream, "grpc-status=0")
				got, err := receiveAll(s)
				if c := status.Code(err); len(got) != 41 || c != codes.Internal && c != codes.ResourceExhausted {
					t.Errorf("%d messages, then %v", len(got), err)
				}
			})
		})
	}
}

// TestBurstBeyondWindow: a burst does not hide that a window is exceeded.
func TestBurstBeyondWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		defer close(block)
		p, _ := scriptClient(t, setup{service: &testService{stream: func(s h2grpc.ServerStream) error { <-block; return nil }}})
		p.headers(1, 0, request(bidiMethod)...)
		p.bytes(recorded(func(r *script) {
			for range loneWindow/105 + 1 {
				r.data(1, 0, grpcMsg(strings.Repeat("x", 100)))
			}
		}))
		p.want("one frame too many", "RST_STREAM 1 FLOW_CONTROL_ERROR")
	})
}

// TestBurstsGivenUp: streams whose messages are not read to the end leave nothing
// behind: the connection goes on however many there are.
func TestBurstsGivenUp(t *testing.T) {
	needs(t, fastpath.LoneWindow)
	const streams, count, size = 60, 1000, 1000 // 60 MB: more than may wait for consumers
	many := strings.Repeat(grpcMsg(strings.Repeat("x", size)), count)
	synctest.Test(t, func(t *testing.T) {
		p, cc := scriptServer(t, h2grpc.ClientConfig{MaxRecvMessageSize: size})
		total := 0
		for i := range uint32(streams) {
			ctx, cancel := context.WithCancel(t.Context())
			s, err := cc.NewStream(ctx, &bidiDesc, bidiMethod)
			if err != nil {
				t.Fatal(err)
			}
			p.headers(2*i+1, 0, response()...)
			if total += len(many); total > firstWindow+p.granted[0] {
				t.Fatalf("after %d streams there is no window for another", i)
			}
			p.data(2*i+1, 0, many)
			for range 2 {
				if err := s.RecvMsg(new(raw)); err != nil {
					t.Fatal(err)
				}
			}
			cancel()
			p.take()
			p.held = nil
		}
	})
	synctest.Test(t, func(t *testing.T) {
		p, _ := scriptClient(t, setup{server: h2grpc.ServerConfig{MaxRecvMessageSize: size}, service: &testService{stream: func(s h2grpc.ServerStream) error {
			for range 2 {
				if err := s.RecvMsg(new(raw)); err != nil {
					return err
				}
			}
			return nil
		}}})
		total := 0
		for i := range uint32(streams) {
			p.headers(2*i+1, 0, request(bidiMethod)...)
			if total += len(many); total > firstWindow+p.granted[0] {
				t.Fatalf("after %d streams there is no window for another", i)
			}
			p.data(2*i+1, 0, many)
			p.take()
			if len(p.held) == 0 || !strings.HasPrefix(p.held[0], fmt.Sprintf("HEADERS %d ", 2*i+1)) {
				t.Fatalf("stream %d was not answered: %s", i, shorten(p.held))
			}
			p.held = nil
		}
	})
}
