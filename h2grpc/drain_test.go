package h2grpc_test

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
)

// TestDrainUnderLoad: servers are shut down and replaced while callers never stop
// calling. No call fails, unary or stream: those in flight end on the old
// connection, the others are made on the new one.
func TestDrainUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var handled, answered atomic.Int32
		server := func() *h2grpc.Server {
			srv := h2grpc.NewServer(nil)
			srv.RegisterService(serviceDesc(), &testService{
				unary: func(_ context.Context, in *raw) (*raw, error) {
					handled.Add(1)
					time.Sleep(700 * time.Microsecond)
					return in, nil
				},
				stream: func(s h2grpc.ServerStream) error {
					handled.Add(1)
					return echoStream(s)
				},
			})
			return srv
		}
		b := &switchboard{srv: server()}
		cc := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: b.dial})
		// exchange is a stream with two messages in each direction, one after the other and
		// with pauses.
		exchange := func() error {
			s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
			if err != nil {
				return err
			}
			for range 2 {
				if err := s.SendMsg(msg("x")); err != nil && err != io.EOF {
					return err
				}
				if err := s.RecvMsg(new(raw)); err != nil {
					return err
				}
				time.Sleep(400 * time.Microsecond)
			}
			s.CloseSend()
			if err := s.RecvMsg(new(raw)); err != io.EOF {
				return fmt.Errorf("the end: %v", err)
			}
			return nil
		}
		ctx, stop := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		for range 20 {
			callers.Go(func() {
				for ctx.Err() == nil {
					var out raw
					if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), &out); err != nil || string(out) != "x" {
						t.Errorf("a call: %q, %v", out, err)
						return
					}
					answered.Add(1)
				}
			})
			callers.Go(func() {
				for ctx.Err() == nil {
					if err := exchange(); err != nil {
						t.Errorf("a stream: %v", err)
						return
					}
					answered.Add(1)
				}
			})
		}
		const servers = 10
		for range servers {
			time.Sleep(5*time.Millisecond + 300*time.Microsecond)
			old := b.place(server())
			if err := old.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		}
		stop()
		callers.Wait()
		cc.Close()
		b.srv.Close()
		if n := b.dialled(); n != servers+1 {
			t.Errorf("the client dialled %d times, want %d", n, servers+1)
		}
		if handled.Load() != answered.Load() || handled.Load() < 20*servers {
			t.Errorf("%d calls were handled and %d answered", handled.Load(), answered.Load())
		}
	})
}
