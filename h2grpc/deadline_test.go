package h2grpc_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// TestDeadlineReachesServer: the handler's context has the client's deadline.
func TestDeadlineReachesServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var left time.Duration
		var has bool
		look := func(ctx context.Context) {
			var d time.Time
			d, has = ctx.Deadline()
			left = time.Until(d)
		}
		cc, _ := start(t, setup{service: &testService{
			unary:  func(ctx context.Context, in *raw) (*raw, error) { look(ctx); return in, nil },
			stream: func(s h2grpc.ServerStream) error { look(s.Context()); return nil },
		}})
		for _, want := range []time.Duration{time.Microsecond, 99 * time.Millisecond, time.Minute, 30 * time.Hour, 2_000_000 * time.Hour} {
			ctx, cancel := context.WithTimeout(t.Context(), want)
			if err := cc.Invoke(ctx, unaryMethod, msg("x"), new(raw)); err != nil || !has {
				t.Errorf("%v: deadline %t, %v", want, has, err)
			}
			if left < want || left > want+want/1000 {
				t.Errorf("a deadline of %v arrived as %v", want, left)
			}
			has = false
			s, err := cc.NewStream(ctx, &serverDesc, serverMethod)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.RecvMsg(new(raw)); err != io.EOF || !has {
				t.Errorf("%v, a stream: deadline %t, %v", want, has, err)
			}
			cancel()
		}
		if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); err != nil || has {
			t.Errorf("no deadline: %t, %v", has, err)
		}
	})
}

// TestDeadlineExceeded: both ends end a call at its deadline, whatever the
// handler does.
func TestDeadlineExceeded(t *testing.T) {
	for name, obedient := range map[string]bool{"a handler that watches its context": true, "a handler that ignores it": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				ended := make(chan error, 10)
				wait := func(ctx context.Context) error {
					if obedient {
						<-ctx.Done()
					} else {
						<-release
					}
					ended <- ctx.Err()
					return ctx.Err()
				}
				cc, _ := start(t, setup{service: &testService{
					unary:  func(ctx context.Context, in *raw) (*raw, error) { return in, wait(ctx) },
					stream: func(s h2grpc.ServerStream) error { return wait(s.Context()) },
				}})
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				err := cc.Invoke(ctx, unaryMethod, msg("x"), new(raw))
				if status.Code(err) != codes.DeadlineExceeded || !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 1100*time.Millisecond {
					t.Errorf("unary: %v after %v", err, time.Since(began))
				}
				began = time.Now()
				ctx, cancel = context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				s, err := cc.NewStream(ctx, &bidiDesc, bidiMethod)
				if err != nil {
					t.Fatal(err)
				}
				if err := s.RecvMsg(new(raw)); status.Code(err) != codes.DeadlineExceeded || time.Since(began) > 1100*time.Millisecond {
					t.Errorf("stream: %v after %v", err, time.Since(began))
				}
				if err := s.SendMsg(msg("late")); err != io.EOF {
					t.Errorf("SendMsg after the deadline: %v", err)
				}
				if md, err := s.Header(); err == nil && md != nil && !obedient {
					t.Errorf("Header after the deadline: %v", md)
				}
				synctest.Wait() // the server's clock is no earlier, but its timer may be
				close(release)
				for range 2 {
					if err := <-ended; err != context.DeadlineExceeded {
						t.Errorf("the handler's context ended with %v", err)
					}
				}
			})
		})
	}
}

// TestDeadlinePassed: an expired call sends nothing, and does not connect.
func TestDeadlinePassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cc := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: func(context.Context) (net.Conn, error) {
			t.Error("an expired call connects")
			return nil, io.EOF
		}})
		defer cc.Close()
		ctx, cancel := context.WithTimeout(t.Context(), -time.Second)
		defer cancel()
		if err := cc.Invoke(ctx, unaryMethod, msg("x"), new(raw)); status.Code(err) != codes.DeadlineExceeded {
			t.Error(err)
		}
		if _, err := cc.NewStream(ctx, &bidiDesc, bidiMethod); status.Code(err) != codes.DeadlineExceeded {
			t.Error(err)
		}
	})
}

// TestServerDeadline: a server ends a call by itself, complete or not.
func TestServerDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{}, 3)
		p, _ := scriptClient(t, setup{service: &testService{
			unary: func(ctx context.Context, in *raw) (*raw, error) {
				<-ctx.Done()
				ended <- struct{}{}
				return in, nil
			},
			stream: func(s h2grpc.ServerStream) error {
				err := s.RecvMsg(new(raw))
				if status.Code(err) != codes.DeadlineExceeded {
					t.Errorf("RecvMsg at the deadline: %v", err)
				}
				ended <- struct{}{}
				return err
			},
		}})
		p.headers(1, 0, request(unaryMethod, "grpc-timeout=2S")...)
		p.data(1, endStream, grpcMsg("complete"))
		p.headers(3, 0, request(unaryMethod, "grpc-timeout=2S")...)
		p.data(3, 0, grpcMsg("incomplete")[:7])
		p.headers(5, 0, request(bidiMethod, "grpc-timeout=2S")...)
		time.Sleep(1900 * time.Millisecond)
		p.want("not yet")
		advance(200 * time.Millisecond)
		p.take()
		for _, id := range []string{"1", "3", "5"} {
			n := 0
			for _, l := range p.held {
				if strings.Contains(l, "RST_STREAM "+id+" CANCEL") || matches("HEADERS "+id+" …grpc-status=4 …END_STREAM", l) {
					n++
				}
			}
			if n == 0 {
				t.Errorf("stream %s has not ended: %q", id, p.held)
			}
		}
		if len(ended) != 2 {
			t.Errorf("%d handlers saw the deadline, want 2", len(ended))
		}
	})
}

// TestServerClockAhead: a server whose clock runs fast cancels before the client's
// deadline; once the deadline has passed, the call's status is DEADLINE_EXCEEDED
// nevertheless.
func TestServerClockAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cc, _ := start(t, setup{service: &testService{unary: func(ctx context.Context, in *raw) (*raw, error) {
			<-ctx.Done()
			return nil, status.Error(codes.Canceled, "the server gave up")
		}}})
		for range 50 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := cc.Invoke(ctx, unaryMethod, msg("x"), new(raw)); status.Code(err) != codes.DeadlineExceeded {
				t.Errorf("got %v", err)
			}
			cancel()
		}
	})
}

// TestManyShortDeadlines crosses deadlines with every stage of a call, in real
// time, for the race detector.
func TestManyShortDeadlines(t *testing.T) {
	cc, _ := start(t, setup{listen: listenSocket, service: &testService{unary: echo, stream: echoStream}})
	if err := cc.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*500*time.Nanosecond)
		var out raw
		err := cc.Invoke(ctx, unaryMethod, msg("hello"), &out)
		if c := status.Code(err); c != codes.OK && c != codes.DeadlineExceeded {
			t.Errorf("got %v", err)
		} else if err == nil && string(out) != "hello" {
			t.Errorf("got %q", out)
		}
		cancel()
	}
	if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); err != nil {
		t.Error(err)
	}
}
