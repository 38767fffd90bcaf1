package h2grpc_test

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// moments is a Stats that runs a function when a request has been sent, and records
// how calls ended.
type moments struct {
	sent  func()
	heads int
	ends  []codes.Code
}

func (m *moments) Begin(ctx context.Context, _ h2grpc.CallInfo) context.Context { return ctx }

func (m *moments) Headers(_ context.Context, dir h2grpc.Direction, _ metadata.MD) {
	if dir == h2grpc.DirectionReceived {
		m.heads++
	}
}

func (m *moments) Message(_ context.Context, dir h2grpc.Direction, _ h2grpc.MessageSize) {
	if dir == h2grpc.DirectionSent && m.sent != nil {
		m.sent()
	}
}

func (m *moments) End(_ context.Context, err error, _ time.Duration) {
	m.ends = append(m.ends, status.Code(err))
}

// hooked is a message that runs a function when it is decoded.
type hooked struct{ decoded func() }

func (h *hooked) AppendTo(b []byte) ([]byte, error) { return b, nil }

func (h *hooked) UnmarshalFrom([]byte) error { h.decoded(); return nil }

// answer is a whole response on stream 1: messages and a status.
func (p *script) answer(code string, messages ...string) {
	p.headers(1, 0, response()...)
	for _, m := range messages {
		p.data(1, 0, grpcMsg(m))
	}
	p.headers(1, endStream, "grpc-status="+code)
	synctest.Wait()
}

// TestCompleteResponse: a response that has arrived as a whole determines how the
// call ended, even if the call's context ends before the response is looked at.
func TestCompleteResponse(t *testing.T) {
	for _, c := range []struct {
		grpc string
		want codes.Code
	}{{"0", codes.OK}, {"5", codes.NotFound}} {
		synctest.Test(t, func(t *testing.T) {
			m := new(moments)
			p, cc := scriptServer(t, h2grpc.ClientConfig{Stats: m})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			m.sent = func() {
				p.answer(c.grpc, "reply")
				advance(2 * time.Second)
				if ctx.Err() == nil {
					t.Error("the deadline is still to come")
				}
			}
			var out raw
			if err := cc.Invoke(ctx, unaryMethod, msg("x"), &out); status.Code(err) != c.want {
				t.Errorf("a unary call: %v, want %v", err, c.want)
			}
			if c.want == codes.OK && string(out) != "reply" {
				t.Errorf("a unary call: %q", out)
			}
		})

		// A stream of which nothing but the status is unread.
		synctest.Test(t, func(t *testing.T) {
			m := new(moments)
			p, cc := scriptServer(t, h2grpc.ClientConfig{Stats: m})
			ctx, cancel := context.WithCancel(t.Context())
			s, err := cc.NewStream(ctx, &bidiDesc, bidiMethod)
			if err != nil {
				t.Fatal(err)
			}
			p.answer(c.grpc, "a", "b")
			for range 2 {
				if err := s.RecvMsg(new(raw)); err != nil {
					t.Fatal(err)
				}
			}
			cancel()
			synctest.Wait()
			for range 2 {
				if err := s.RecvMsg(new(raw)); c.want == codes.OK && err != io.EOF || status.Code(err) != c.want && err != io.EOF {
					t.Errorf("a stream's end: %v, want %v", err, c.want)
				}
			}
			if len(m.ends) != 1 || m.ends[0] != c.want || m.heads != 1 {
				t.Errorf("a stream's statistics: ends %v, %d heads, want %v", m.ends, m.heads, c.want)
			}
		})

		// The same while the last message is being decoded, and the status is not asked
		// for.
		for _, desc := range []h2grpc.StreamDesc{clientDesc, serverDesc} {
			synctest.Test(t, func(t *testing.T) {
				m := new(moments)
				p, cc := scriptServer(t, h2grpc.ClientConfig{Stats: m})
				ctx, cancel := context.WithCancel(t.Context())
				s, err := cc.NewStream(ctx, &desc, "/test.Service/"+desc.StreamName)
				if err != nil {
					t.Fatal(err)
				}
				p.answer(c.grpc, "a")
				err = s.RecvMsg(&hooked{func() { cancel(); synctest.Wait() }})
				want := c.want
				if desc.ServerStreams {
					want = codes.OK // of the message
				}
				if status.Code(err) != want {
					t.Errorf("%s: %v, want %v", desc.StreamName, err, want)
				}
				if len(m.ends) != 1 || m.ends[0] != c.want || m.heads != 1 {
					t.Errorf("%s: ends %v, %d heads, want %v", desc.StreamName, m.ends, m.heads, c.want)
				}
			})
		}
	}
}

// TestExpiredResponse: a response of which messages are unread, or still to come, is
// dropped when the call's context ends.
func TestExpiredResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, whole := range map[string]bool{"unread": true, "incomplete": false} {
			m := new(moments)
			p, cc := scriptServer(t, h2grpc.ClientConfig{Stats: m})
			ctx, cancel := context.WithCancel(t.Context())
			s, err := cc.NewStream(ctx, &serverDesc, serverMethod)
			if err != nil {
				t.Fatal(err)
			}
			if whole {
				p.answer("0", "a")
			} else {
				p.headers(1, 0, response()...)
			}
			cancel()
			synctest.Wait()
			if err := s.RecvMsg(new(raw)); status.Code(err) != codes.Canceled {
				t.Errorf("%s: %v", name, err)
			}
			if len(m.ends) != 1 || m.ends[0] != codes.Canceled {
				t.Errorf("%s: ends %v", name, m.ends)
			}
		}
	})
}

// TestEmptyResponse: no message where one is required is UNIMPLEMENTED, whether or
// not the context ends first.
func TestEmptyResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, cc := scriptServer(t, h2grpc.ClientConfig{})
		ctx, cancel := context.WithCancel(t.Context())
		s, err := cc.NewStream(ctx, &clientDesc, clientMethod)
		if err != nil {
			t.Fatal(err)
		}
		p.answer("0")
		cancel()
		synctest.Wait()
		if err := s.RecvMsg(new(raw)); status.Code(err) != codes.Unimplemented {
			t.Errorf("got %v", err)
		}
	})
}
