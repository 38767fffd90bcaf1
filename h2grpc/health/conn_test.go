package health_test

import (
	"context"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/health"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
)

// connect registers s with a server and returns a connection to it, which ends
// with the test.
func connect(t *testing.T, s interface{ Register(h2grpc.ServiceRegistrar) }) *h2grpc.ClientConn {
	t.Helper()
	server := h2grpc.NewServer(nil)
	s.Register(server)
	near, far := net.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// It ends with the connection; how is not this test's subject.
		_ = server.ServeConn(t.Context(), far)
	}()
	cc := h2grpc.NewClient(&h2grpc.ClientConfig{
		Dial: func(context.Context) (net.Conn, error) { return near, nil },
	})
	t.Cleanup(func() {
		if err := cc.Close(); err != nil {
			t.Errorf("closing the connection: %v", err)
		}
		<-ended
	})
	return cc
}

func TestClientCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := health.NewServer()
		s.SetServingStatus("plugin", health.NotServing)
		cc := connect(t, s)
		for service, want := range map[string]health.Status{"": health.Serving, "plugin": health.NotServing} {
			if got, err := health.Check(t.Context(), cc, service); got != want || err != nil {
				t.Errorf("Check(%q) gave %v, %v, want %v", service, got, err, want)
			}
		}
		got, err := health.Check(t.Context(), cc, "unknown")
		if status.Code(err) != codes.NotFound || got != health.Unknown {
			t.Errorf("Check of an unknown service gave %v, %v, want NOT_FOUND", got, err)
		}
		long := make([]byte, health.MaxService+1)
		if _, err := health.Check(t.Context(), cc, string(long)); status.Code(err) != codes.Internal {
			t.Errorf("Check of a name that is too long gave %v, want INTERNAL", err)
		}
	})
}

func TestClientCheckWithoutService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cc := connect(t, registered(nil))
		if _, err := health.Check(t.Context(), cc, ""); status.Code(err) != codes.Unimplemented {
			t.Errorf("Check of a server without the service gave %v, want UNIMPLEMENTED", err)
		}
	})
}

func TestClientList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := health.NewServer()
		s.SetServingStatus("plugin", health.Serving)
		messages := file(t).Messages()
		got := dynamicpb.NewMessage(messages.ByName("HealthListResponse"))
		err := connect(t, s).Invoke(t.Context(), "/grpc.health.v1.Health/List", dynamicpb.NewMessage(messages.ByName("HealthListRequest")), got)
		want := dynamicpb.NewMessage(got.Descriptor())
		if err := prototext.Unmarshal([]byte(`statuses:{key:"" value:{status:SERVING}} statuses:{key:"plugin" value:{status:SERVING}}`), want); err != nil {
			t.Fatal(err)
		}
		if err != nil || !proto.Equal(got, want) {
			t.Errorf("List gave %v, %v, want %v", got, err, want)
		}
	})
}

// TestClientWatch watches over a connection: every change arrives, the call outlives
// Shutdown, and it ends when the client ends it.
func TestClientWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := health.NewServer()
		cc := connect(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		want := []health.Status{health.ServiceUnknown, health.Serving, health.NotServing, health.Serving, health.Unknown}
		change := []func(){
			func() { s.SetServingStatus("plugin", health.Serving) },
			s.Shutdown,
			s.Resume,
			func() { s.SetCheck("plugin", func(context.Context) health.Status { return health.Unknown }) },
			cancel,
		}
		var got []health.Status
		var last error
		for current, err := range health.Watch(ctx, cc, "plugin") {
			if err != nil {
				last = err
				continue
			}
			change[len(got)]()
			got = append(got, current)
		}
		if !slices.Equal(got, want) || status.Code(last) != codes.Canceled {
			t.Errorf("the client gets %v and then %v, want %v and CANCELLED", got, last, want)
		}
	})
}

// TestClientWatchEnds leaves loops early, which ends the call and what the server does
// for it; another loop over the same sequence is another call.
func TestClientWatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, _ := newFunction(health.Serving)
		watch := health.Watch(t.Context(), connect(t, s), "plugin")
		for i := range 3 {
			loops := 0
			for current, err := range watch {
				if loops++; current != health.Serving || err != nil {
					t.Errorf("Watch gave %v, %v", current, err)
				}
				break
			}
			time.Sleep(time.Hour)
			f.wantCalls(t, "nobody watches any more", int32(i+1))
			if loops != 1 {
				t.Errorf("%d loops", loops)
			}
		}
	})
}

// TestClientWatchErrors: how the call ends is what is yielded last.
func TestClientWatchErrors(t *testing.T) {
	long := string(make([]byte, health.MaxService+1))
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx     context.Context
		server  h2grpc.StreamHandler // nil for a server without the service
		service string
		want    error
		code    codes.Code
	}{
		"no such service":          {service: "plugin", code: codes.Unimplemented},
		"the server ends the call": {server: func(any, h2grpc.ServerStream) error { return nil }, want: io.EOF},
		"an error":                 {server: func(any, h2grpc.ServerStream) error { return status.Error(codes.Aborted, "no") }, code: codes.Aborted},
		"a name that is too long":  {service: long, code: codes.Internal},
		"a context that is over":   {ctx: over, code: codes.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cc := connect(t, registered(c.server))
				ctx := c.ctx
				if ctx == nil {
					ctx = t.Context()
				}
				var errs []error
				for _, err := range health.Watch(ctx, cc, c.service) {
					errs = append(errs, err)
				}
				if len(errs) != 1 || c.want != nil && errs[0] != c.want || c.want == nil && status.Code(errs[0]) != c.code {
					t.Errorf("Watch gave %v, want %v or %v", errs, c.want, c.code)
				}
			})
		})
	}
}

// registered is a service of health with another Watch, or without any if it is nil.
type registered h2grpc.StreamHandler

func (r registered) Register(s h2grpc.ServiceRegistrar) {
	if r != nil {
		s.RegisterService(&h2grpc.ServiceDesc{ServiceName: health.ServiceName, Streams: []h2grpc.StreamDesc{
			{StreamName: "Watch", Handler: h2grpc.StreamHandler(r), ServerStreams: true},
		}}, nil)
	}
}
