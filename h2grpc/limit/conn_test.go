package limit_test

import (
	"context"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/health"
	"github.com/tenonrpc/tenon/h2grpc/limit"
	"github.com/tenonrpc/tenon/h2grpc/reflection"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// TestUnaryCalls: what a client sees of the limits of unary calls.
func TestUnaryCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, limit.Config{
			Server:  limit.Limits{Rate: 4, Burst: 2},
			Methods: map[string]limit.Limits{"/test.S/Slow": {InFlight: 1}},
		})
		handled, release := 0, make(chan struct{})
		cc := connect(t, l, func(s *h2grpc.Server) {
			s.RegisterService(&h2grpc.ServiceDesc{ServiceName: "test.S", Methods: []h2grpc.MethodDesc{
				unary("Quick", func(context.Context) error { handled++; return nil }),
				unary("Slow", func(context.Context) error { <-release; return nil }),
				unary("Panics", func(context.Context) error { panic("in a handler") }),
			}}, nil)
		})
		wantIn(t, "the first", call(t, cc, "/test.S/Quick"))
		wantIn(t, "the second", call(t, cc, "/test.S/Quick"))
		err := call(t, cc, "/test.S/Quick")
		wantDelay(t, "the third", err, 250*time.Millisecond)
		want := status.Any{TypeURL: "type.googleapis.com/google.rpc.RetryInfo", Value: []byte("\x0a\x06\x10\x80\xe5\x9a\x77")}
		want.Value[1] = byte(len(want.Value) - 2)
		if got := status.Convert(err).Proto().Details; len(got) != 1 || got[0].TypeURL != want.TypeURL || string(got[0].Value) != string(want.Value) {
			t.Errorf("the details are %q, want %q", got, want)
		}
		if handled != 2 {
			t.Errorf("the handler was called %d times, want 2", handled)
		}
		time.Sleep(250 * time.Millisecond)
		wantIn(t, "after the delay", call(t, cc, "/test.S/Quick"))

		time.Sleep(time.Second)
		done := make(chan error)
		go func() { done <- call(t, cc, "/test.S/Slow") }()
		synctest.Wait()
		wantFull(t, "two at once", call(t, cc, "/test.S/Slow"))
		close(release)
		wantIn(t, "the one that was let in", <-done)
		wantIn(t, "its place is free", call(t, cc, "/test.S/Slow"))
		time.Sleep(time.Second)
		if err := call(t, cc, "/test.S/Panics"); status.Code(err) != codes.Unknown {
			t.Errorf("a panic: %v", err)
		}
	})
}

// TestStreams: a streaming call takes one token and one place, until its handler has
// returned, however it ends.
func TestStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, limit.Config{Server: limit.Limits{Rate: 1, Burst: 5, InFlight: 2}})
		hold := make(chan struct{}, 1)
		desc := h2grpc.StreamDesc{StreamName: "Echo", ServerStreams: true, ClientStreams: true}
		served := desc
		served.Handler = func(_ any, s h2grpc.ServerStream) error {
			for {
				var m text
				err := s.RecvMsg(&m)
				switch {
				case err == io.EOF:
					return nil
				case err != nil:
					<-hold // after the client has gone
					return err
				case m == "panic":
					panic("in a handler")
				}
				if err := s.SendMsg(&m); err != nil {
					return err
				}
			}
		}
		cc := connect(t, l, func(s *h2grpc.Server) {
			s.RegisterService(&h2grpc.ServiceDesc{ServiceName: "test.S", Streams: []h2grpc.StreamDesc{served}}, nil)
		})
		open := func(ctx context.Context, message string) (h2grpc.ClientStream, error) {
			s, err := cc.NewStream(ctx, &desc, "/test.S/Echo")
			if err != nil {
				t.Fatal(err)
			}
			m := text(message)
			if err := s.SendMsg(&m); err != nil && err != io.EOF {
				t.Fatal(err)
			}
			return s, s.RecvMsg(&m)
		}
		one, err := open(t.Context(), "x")
		wantIn(t, "the first", err)
		ctx, cancel := context.WithCancel(t.Context())
		_, err = open(ctx, "x")
		wantIn(t, "the second", err)
		_, err = open(t.Context(), "x")
		wantFull(t, "the third", err)
		var m text = "y"
		for range 10 { // messages take no tokens
			if err := one.SendMsg(&m); err != nil {
				t.Fatal(err)
			}
			if err := one.RecvMsg(&m); err != nil {
				t.Fatal(err)
			}
		}

		cancel()
		synctest.Wait()
		_, err = open(t.Context(), "x")
		wantFull(t, "the client has cancelled, but the handler is running", err)
		hold <- struct{}{}
		synctest.Wait()
		_, err = open(t.Context(), "panic")
		if status.Code(err) != codes.Unknown {
			t.Errorf("a panic: %v", err)
		}
		three, err := open(t.Context(), "x")
		wantIn(t, "after the panic", err)
		for _, s := range []h2grpc.ClientStream{one, three} {
			s.CloseSend()
			if err := s.RecvMsg(&m); err != io.EOF {
				t.Error(err)
			}
		}
		synctest.Wait()
		four, err := open(t.Context(), "x")
		wantIn(t, "the last token", err)
		_, err = open(t.Context(), "x")
		wantDelay(t, "no token is left", err, time.Second)
		four.CloseSend()
		if err := four.RecvMsg(&m); err != io.EOF {
			t.Error(err)
		}
	})
}

// TestServicesOfTheServer: health checks and reflection go on at every limit.
func TestServicesOfTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, limit.Config{Server: limit.Limits{Rate: 1e-6, Burst: 1, InFlight: 1}})
		cc := connect(t, l, func(s *h2grpc.Server) {
			health.NewServer().Register(s)
			reflection.Register(s)
			s.RegisterService(&h2grpc.ServiceDesc{ServiceName: "test.S", Methods: []h2grpc.MethodDesc{
				unary("Quick", func(context.Context) error { return nil }),
			}}, nil)
			for name := range s.ServiceInfo() {
				own := name != "test.S"
				if got := limit.NeverLimited("/" + name + "/"); got != own {
					t.Errorf("%s is never limited: %v, want %v", name, got, own)
				}
			}
		})
		wantIn(t, "the only call", call(t, cc, "/test.S/Quick"))
		if status.Code(call(t, cc, "/test.S/Quick")) != codes.ResourceExhausted {
			t.Error("the second call passes")
		}
		for range 3 {
			if _, err := health.Check(t.Context(), cc, ""); err != nil {
				t.Error(err)
			}
			s, err := cc.NewStream(t.Context(), &h2grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
			if err != nil {
				t.Fatal(err)
			}
			s.CloseSend()
			if err := s.RecvMsg(new(text)); err != io.EOF {
				t.Error(err)
			}
		}
	})
}

// TestUnknownMethods: calls that ServerConfig.Unknown handles are limited too, whatever
// names a peer invents.
func TestUnknownMethods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, limit.Config{
			Server:  limit.Limits{Rate: 1, Burst: 100},
			Methods: map[string]limit.Limits{"/test.S/": {Rate: 1, Burst: 1}},
		})
		cc := connect(t, l, nil)
		wantIn(t, "one", call(t, cc, "/test.S/A"))
		wantDelay(t, "another", call(t, cc, "/test.S/B"), time.Second)
		passed := 1
		for i := range 1000 {
			if call(t, cc, fmt.Sprintf("/x.S%d/M", i)) == nil {
				passed++
			}
		}
		if passed != 100 {
			t.Errorf("%d calls passed, want 100", passed)
		}
	})
}
