package h2grpc_test

import (
	"context"
	"fmt"
	"net"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

type greeter interface{ Greet() }

// TestRegisterServiceMistakes: Serve and ServeConn return them.
func TestRegisterServiceMistakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name     string
			register func(*h2grpc.Server)
			want     string
		}{
			{"twice", func(s *h2grpc.Server) {
				s.RegisterService(serviceDesc(), nil)
				s.RegisterService(serviceDesc(), nil)
			}, `"test.Service": it is already registered`},
			{"the wrong type", func(s *h2grpc.Server) {
				s.RegisterService(&h2grpc.ServiceDesc{ServiceName: "test.Greeter", HandlerType: (*greeter)(nil)}, &testService{})
			}, `"test.Greeter": *h2grpc_test.testService does not implement h2grpc_test.greeter`},
			{"nil", func(s *h2grpc.Server) {
				s.RegisterService(&h2grpc.ServiceDesc{ServiceName: "test.Greeter", HandlerType: (*greeter)(nil)}, nil)
			}, "does not implement"},
			{"a handler type that is no interface", func(s *h2grpc.Server) {
				s.RegisterService(&h2grpc.ServiceDesc{ServiceName: "test.Greeter", HandlerType: 7}, nil)
			}, "HandlerType"},
		} {
			srv := h2grpc.NewServer(nil)
			c.register(srv)
			lis, _ := listenMemory(t)
			if err := srv.Serve(lis); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: Serve gives %v", c.name, err)
			}
			if _, err := lis.Accept(); err == nil {
				t.Errorf("%s: Serve leaves the listener open", c.name)
			}
			a, b := net.Pipe()
			if err := srv.ServeConn(t.Context(), b); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: ServeConn gives %v", c.name, err)
			}
			if _, err := a.Read(make([]byte, 1)); err == nil {
				t.Errorf("%s: ServeConn leaves the connection open", c.name)
			}
			srv.Close()
		}
	})
}

// TestRegisterServiceLate: a service that is registered too late changes nothing for
// connections that are being served, and the next ServeConn returns an error.
func TestRegisterServiceLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cc, srv := start(t, setup{service: &testService{unary: echo}})
		if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); err != nil {
			t.Fatal(err)
		}
		srv.RegisterService(protoService, nil)
		if err := cc.Invoke(t.Context(), "/test.Proto/Unary", msg(""), new(raw)); status.Code(err) != codes.Unimplemented {
			t.Errorf("got %v", err)
		}
		_, b := net.Pipe()
		if err := srv.ServeConn(t.Context(), b); err == nil || !strings.Contains(err.Error(), "already serving") {
			t.Errorf("got %v", err)
		}
	})
}

func TestServiceInfo(t *testing.T) {
	srv := h2grpc.NewServer(nil)
	desc := serviceDesc()
	desc.Metadata = "test.proto"
	srv.RegisterService(desc, &testService{})
	want := map[string]h2grpc.ServiceInfo{"test.Service": {Metadata: "test.proto", Methods: []h2grpc.MethodInfo{
		{Name: "Unary"}, {Name: "ClientStream", IsClientStream: true}, {Name: "ServerStream", IsServerStream: true}, {Name: "Bidi", IsClientStream: true, IsServerStream: true},
	}}}
	if got := srv.ServiceInfo(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	srv.Close()
}

func TestUnknownMethods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cc, _ := start(t, setup{service: &testService{unary: echo}})
		texts := map[string]bool{}
		for _, method := range []string{"/test.Service/Nothing", "/test.Nothing/Unary", "/test.Service/unary"} {
			err := cc.Invoke(t.Context(), method, msg("x"), new(raw))
			if status.Code(err) != codes.Unimplemented {
				t.Errorf("%s: %v", method, err)
			}
			texts[status.Convert(err).Message()] = true
		}
		if len(texts) != 3 {
			t.Errorf("the messages do not tell the mistakes apart: %v", texts)
		}
		for _, method := range []string{"", "/", "//", "test.Service/Unary", "/test.Service/", "/test.Service", "/test.Service/Un ary", "/test.Service/Un\x00ary", "/té/x"} {
			if err := cc.Invoke(t.Context(), method, msg("x"), new(raw)); status.Code(err) != codes.Internal {
				t.Errorf("%q: %v", method, err)
			}
			if _, err := cc.NewStream(t.Context(), &bidiDesc, method); status.Code(err) != codes.Internal {
				t.Errorf("%q, a stream: %v", method, err)
			}
		}
	})
}

// TestBlockedHandlers: handlers that block delay no others, however many there are.
func TestBlockedHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		cc, _ := start(t, setup{service: &testService{unary: func(_ context.Context, in *raw) (*raw, error) {
			if string(*in) == "block" {
				<-release
			}
			return in, nil
		}}})
		var blocked []<-chan result
		for n := range 30 {
			began := time.Now()
			var out raw
			if err := cc.Invoke(t.Context(), unaryMethod, msg("quick"), &out); err != nil || string(out) != "quick" {
				t.Fatalf("%q, %v", out, err)
			}
			if d := time.Since(began); d > 5*time.Millisecond {
				t.Errorf("beside %d blocked handlers a quick one takes %v", n, d)
			}
			blocked = append(blocked, invoke(t.Context(), cc, "block"))
			synctest.Wait()
		}
		close(release)
		for _, call := range blocked {
			if r := <-call; r.err != nil {
				t.Error(r.err)
			}
		}
	})
}

// TestHandlersThatCallEachOther: a chain of calls, each made by the handler of the
// one before, ends.
func TestHandlersThatCallEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cc *h2grpc.ClientConn
		service := &testService{unary: func(ctx context.Context, in *raw) (*raw, error) {
			if len(*in) == 50 {
				return in, nil
			}
			out := new(raw)
			return out, cc.Invoke(ctx, unaryMethod, msg(string(*in)+"x"), out)
		}}
		cc, _ = start(t, setup{service: service})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var out raw
		if err := cc.Invoke(ctx, unaryMethod, msg(""), &out); err != nil || len(out) != 50 {
			t.Errorf("got %q, %v", out, err)
		}
	})
}

// TestSlowHandlers: many calls that each take a while run concurrently.
func TestSlowHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cc, _ := start(t, setup{service: &testService{unary: func(_ context.Context, in *raw) (*raw, error) {
			time.Sleep(100 * time.Millisecond)
			return in, nil
		}}})
		began := time.Now()
		var calls []<-chan result
		for i := range 500 {
			calls = append(calls, invoke(t.Context(), cc, fmt.Sprint(i)))
		}
		for i, call := range calls {
			if r := <-call; r.err != nil || r.reply != fmt.Sprint(i) {
				t.Errorf("got %q, %v", r.reply, r.err)
			}
		}
		if d := time.Since(began); d > 150*time.Millisecond {
			t.Errorf("500 calls of 100 ms each took %v", d)
		}
	})
}
