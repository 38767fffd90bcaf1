package h2grpc_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// TestCancelUnary: the caller returns and the handler's context ends.
func TestCancelUnary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		after := make(chan struct{})
		cc, _ := start(t, setup{service: &testService{unary: func(ctx context.Context, in *raw) (*raw, error) {
			context.AfterFunc(ctx, func() { close(after) })
			child, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			<-child.Done()
			ended <- child.Err()
			return in, nil
		}}})
		ctx, cancel := context.WithCancel(t.Context())
		call := invoke(ctx, cc, "x")
		synctest.Wait()
		cancel()
		synctest.Wait()
		if r := <-call; status.Code(r.err) != codes.Canceled {
			t.Errorf("got %v", r.err)
		}
		if err := <-ended; err != context.Canceled {
			t.Errorf("the handler's context ended with %v", err)
		}
		<-after
		if err := cc.Invoke(ctx, unaryMethod, msg("x"), new(raw)); status.Code(err) != codes.Canceled {
			t.Errorf("a call with a cancelled context: %v", err)
		}
	})
}

// TestCancelBeforeCloseSend: a cancelled call is not completed by what its caller
// does next, however soon that is.
func TestCancelBeforeCloseSend(t *testing.T) {
	cc, _ := start(t, setup{service: &testService{stream: func(s h2grpc.ServerStream) error {
		for {
			if err := s.RecvMsg(new(raw)); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
		}
	}}})
	for i := range 500 {
		ctx, cancel := context.WithCancel(t.Context())
		s, err := cc.NewStream(ctx, &bidiDesc, bidiMethod)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SendMsg(msg("x")); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := s.CloseSend(); err != nil {
			t.Errorf("CloseSend: %v", err)
		}
		if err := s.RecvMsg(new(raw)); status.Code(err) != codes.Canceled {
			t.Fatalf("call %d: %v", i, err)
		}
	}
}

// TestCancelStream: RecvMsg, SendMsg and Header return at both ends.
func TestCancelStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		cc, _ := start(t, setup{service: &testService{stream: func(s h2grpc.ServerStream) error {
			err := s.RecvMsg(new(raw))
			if s.Context().Err() != context.Canceled {
				t.Errorf("the handler's context: %v", s.Context().Err())
			}
			if err := s.SendMsg(msg("x")); status.Code(err) != codes.Canceled {
				t.Errorf("the handler's SendMsg: %v", err)
			}
			ended <- err
			return err
		}}})
		ctx, cancel := context.WithCancel(t.Context())
		s, err := cc.NewStream(ctx, &bidiDesc, bidiMethod)
		if err != nil {
			t.Fatal(err)
		}
		recv, head := make(chan error, 1), make(chan error, 1)
		go func() { recv <- s.RecvMsg(new(raw)) }()
		go func() {
			_, err := s.Header()
			head <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-recv; status.Code(err) != codes.Canceled {
			t.Errorf("RecvMsg: %v", err)
		}
		if err := <-head; status.Code(err) != codes.Canceled {
			t.Errorf("Header: %v", err)
		}
		if err := <-ended; status.Code(err) != codes.Canceled {
			t.Errorf("the handler's RecvMsg: %v", err)
		}
		if err := s.SendMsg(msg("x")); err != io.EOF {
			t.Errorf("SendMsg: %v", err)
		}
		if err := s.CloseSend(); err != nil {
			t.Errorf("CloseSend: %v", err)
		}
		if err := s.RecvMsg(new(raw)); status.Code(err) != codes.Canceled {
			t.Errorf("RecvMsg again: %v", err)
		}
	})
}

// TestCancelBlockedSenders: callers and handlers that wait for window are
// released.
func TestCancelBlockedSenders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := make(chan error, 1)
		cc, _ := start(t, setup{service: &testService{
			unary: func(ctx context.Context, in *raw) (*raw, error) { return in, nil },
			stream: func(s h2grpc.ServerStream) error {
				for {
					if err := s.SendMsg(msg(strings.Repeat("x", 10_000))); err != nil {
						handler <- err
						return err
					}
				}
			},
		}})
		ctx, cancel := context.WithCancel(t.Context())
		s, err := cc.NewStream(ctx, &bidiDesc, bidiMethod)
		if err != nil {
			t.Fatal(err)
		}
		sent := make(chan error, 1)
		go func() {
			for {
				if err := s.SendMsg(msg(strings.Repeat("x", 10_000))); err != nil {
					sent <- err
					return
				}
			}
		}()
		synctest.Wait()
		if len(sent)+len(handler) > 0 {
			t.Fatal("nobody reads and yet nobody waits")
		}
		if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); err != nil {
			t.Errorf("other calls go on: %v", err)
		}
		cancel()
		if err := <-sent; err != io.EOF {
			t.Errorf("the caller's SendMsg: %v", err)
		}
		if err := <-handler; status.Code(err) != codes.Canceled {
			t.Errorf("the handler's SendMsg: %v", err)
		}
		for err = nil; err == nil; { // messages may have come before
			err = s.RecvMsg(new(raw))
		}
		if status.Code(err) != codes.Canceled {
			t.Errorf("RecvMsg: %v", err)
		}
	})
}

// TestCancelBlockedUnary: a unary call whose request waits for window.
func TestCancelBlockedUnary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, cc := scriptServer(t, h2grpc.ClientConfig{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		call := invoke(ctx, cc, strings.Repeat("x", 100_000))
		p.take()
		if n := sent(t, p.held, 1); n != firstWindow {
			t.Errorf("%d bytes were sent, want the window", n)
		}
		p.held = nil
		time.Sleep(2 * time.Second)
		if r := <-call; status.Code(r.err) != codes.DeadlineExceeded {
			t.Errorf("got %v", r.err)
		}
		p.want("the server is told", "RST_STREAM 1 CANCEL")
	})
}

// TestServerGivesUpEarly: a handler returns before the client has sent everything:
// the client's SendMsg returns EOF, RecvMsg the status.
func TestServerGivesUpEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cc, _ := start(t, setup{service: &testService{stream: func(s h2grpc.ServerStream) error {
			s.RecvMsg(new(raw))
			return status.Error(codes.ResourceExhausted, "enough")
		}}})
		s, err := cc.NewStream(t.Context(), &clientDesc, clientMethod)
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			err = s.SendMsg(msg(strings.Repeat("x", 10_000)))
		}
		if err != io.EOF {
			t.Errorf("SendMsg: %v", err)
		}
		if err := s.RecvMsg(new(raw)); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("RecvMsg: %v", err)
		}
	})
}

// TestHandlerContextEnds: it ends when the handler returns and when the
// connection is lost.
func TestHandlerContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctxs := make(chan context.Context, 2)
		cc, _ := start(t, setup{service: &testService{
			unary: func(ctx context.Context, in *raw) (*raw, error) { ctxs <- ctx; return in, nil },
			stream: func(s h2grpc.ServerStream) error {
				ctxs <- s.Context()
				<-s.Context().Done()
				return nil
			},
		}})
		if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); err != nil {
			t.Fatal(err)
		}
		<-(<-ctxs).Done()
		s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
		if err != nil {
			t.Fatal(err)
		}
		ctx := <-ctxs
		synctest.Wait()
		if ctx.Err() != nil {
			t.Error("the context ended early")
		}
		cc.Close()
		<-ctx.Done()
		if err := s.RecvMsg(new(raw)); status.Code(err) != codes.Unavailable && status.Code(err) != codes.Canceled {
			t.Errorf("RecvMsg after Close: %v", err)
		}
		if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); status.Code(err) != codes.Canceled {
			t.Errorf("a call after Close: %v", err)
		}
	})
}
