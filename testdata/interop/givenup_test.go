//go:build !oldgoplugin

package interop_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	tcodes "github.com/tenonrpc/tenon/h2grpc/codes"
	tstatus "github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin/internal/socktest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// TestCallsGivenUp: 64 callers that give up on every call, on thousands of them in a
// second, beside a stream that has nothing to do with them, between grpc-go and this
// library.
func TestCallsGivenUp(t *testing.T) {
	const (
		callers, calls = 64, 60
		patience       = 10 * time.Millisecond
	)
	// giveUp makes the calls, between two rounds on the stream.
	giveUp := func(t *testing.T, round func() error, call func(context.Context) error, givenUp func(error) bool) {
		if err := round(); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				for range calls {
					// No deadline that the server could keep by itself.
					ctx, cancel := context.WithCancel(t.Context())
					time.AfterFunc(patience, cancel)
					if err := call(ctx); !givenUp(err) {
						t.Errorf("a call that nobody answers: %v", err)
					}
				}
			})
		}
		all.Wait()
		if err := round(); err != nil {
			t.Errorf("the stream beside them: %v", err)
		}
	}
	dir := t.TempDir()
	listen := func(t *testing.T) net.Listener {
		lis, err := socktest.Listen(dir)
		if err != nil {
			t.Fatal(err)
		}
		return lis
	}

	t.Run("a client of grpc-go", func(t *testing.T) {
		srv := h2grpc.NewServer(nil)
		srv.RegisterService(&h2grpc.ServiceDesc{
			ServiceName: "late.Service",
			Methods: []h2grpc.MethodDesc{{MethodName: "Wait", Handler: func(_ any, ctx context.Context, decode func(any) error, _ h2grpc.UnaryServerInterceptor) (any, error) {
				err := decode(new(emptypb.Empty))
				<-ctx.Done()
				return nil, errors.Join(err, ctx.Err())
			}}},
			Streams: []h2grpc.StreamDesc{{StreamName: "Echo", ClientStreams: true, ServerStreams: true, Handler: func(_ any, s h2grpc.ServerStream) error {
				for {
					m := new(emptypb.Empty)
					if err := s.RecvMsg(m); err != nil {
						return err
					}
					if err := s.SendMsg(m); err != nil {
						return err
					}
				}
			}}},
		}, nil)
		lis := listen(t)
		go srv.Serve(lis)
		defer srv.Close()
		target := lis.Addr().String()
		if lis.Addr().Network() == "unix" {
			target = "unix:" + target
		}
		cc, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer cc.Close()
		s, err := cc.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/late.Service/Echo")
		if err != nil {
			t.Fatal(err)
		}
		round := func() error { return errors.Join(s.SendMsg(new(emptypb.Empty)), s.RecvMsg(new(emptypb.Empty))) }
		giveUp(t, round, func(ctx context.Context) error {
			return cc.Invoke(ctx, "/late.Service/Wait", new(emptypb.Empty), new(emptypb.Empty))
		}, func(err error) bool { return status.Code(err) == codes.Canceled })
	})

	t.Run("a server of grpc-go", func(t *testing.T) {
		srv := grpc.NewServer()
		srv.RegisterService(&grpc.ServiceDesc{
			ServiceName: "late.Service",
			Methods: []grpc.MethodDesc{{MethodName: "Wait", Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				err := decode(new(emptypb.Empty))
				<-ctx.Done()
				return nil, errors.Join(err, ctx.Err())
			}}},
			Streams: []grpc.StreamDesc{{StreamName: "Echo", ClientStreams: true, ServerStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
				for {
					m := new(emptypb.Empty)
					if err := s.RecvMsg(m); err != nil {
						return err
					}
					if err := s.SendMsg(m); err != nil {
						return err
					}
				}
			}}},
		}, nil)
		lis := listen(t)
		go srv.Serve(lis)
		defer srv.Stop()
		cc := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, lis.Addr().Network(), lis.Addr().String())
		}})
		defer cc.Close()
		s, err := cc.NewStream(t.Context(), &h2grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/late.Service/Echo")
		if err != nil {
			t.Fatal(err)
		}
		round := func() error { return errors.Join(s.SendMsg(new(emptypb.Empty)), s.RecvMsg(new(emptypb.Empty))) }
		giveUp(t, round, func(ctx context.Context) error {
			return cc.Invoke(ctx, "/late.Service/Wait", new(emptypb.Empty), new(emptypb.Empty))
		}, func(err error) bool { return tstatus.Code(err) == tcodes.Canceled })
	})
}
