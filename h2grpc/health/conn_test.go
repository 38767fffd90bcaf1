package health_test

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"

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
func connect(t *testing.T, s *health.Server) *h2grpc.ClientConn {
	t.Helper()
	server := h2grpc.NewServer(nil)
	if s != nil {
		s.Register(server)
	}
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
		cc := connect(t, nil)
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
		stream, err := cc.NewStream(ctx, &h2grpc.StreamDesc{ServerStreams: true}, "/grpc.health.v1.Health/Watch")
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.SendMsg(&health.CheckRequest{Service: "plugin"}); err != nil {
			t.Fatal(err)
		}
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		want := func(sentence string, want health.Status) {
			t.Helper()
			var got health.CheckResponse
			if err := stream.RecvMsg(&got); err != nil || got.Status != want {
				t.Fatalf("%s: the client gets %v, %v, want %v", sentence, got.Status, err, want)
			}
		}
		want("at first", health.ServiceUnknown)
		s.SetServingStatus("plugin", health.Serving)
		want("the service becomes known", health.Serving)
		s.Shutdown()
		want("after Shutdown", health.NotServing)
		s.Resume()
		want("after Resume", health.Serving)
		cancel()
		var response health.CheckResponse
		if err := stream.RecvMsg(&response); status.Code(err) != codes.Canceled || err == io.EOF {
			t.Errorf("a cancelled watch ended with %v, want CANCELLED", err)
		}
	})
}
