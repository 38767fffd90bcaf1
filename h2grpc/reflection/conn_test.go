package reflection_test

import (
	"context"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/health"
	"github.com/tenonrpc/tenon/h2grpc/reflection"
)

// TestOverConnection asks a real server under both names for its services and their
// files, and ends the call.
func TestOverConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := h2grpc.NewServer(nil)
		reflection.Register(server, sampleSet, health.Descriptors())
		health.NewServer().Register(server) // services that come later are listed too
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
		for _, service := range []string{v1, v1alpha} {
			testCall(t, cc, service)
		}
		if err := cc.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	})
}

func testCall(t *testing.T, cc *h2grpc.ClientConn, service string) {
	t.Helper()
	stream, err := cc.NewStream(t.Context(), &h2grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
		"/"+service+"/ServerReflectionInfo")
	if err != nil {
		t.Fatal(err)
	}
	ask := func(request request) *response {
		t.Helper()
		if err := stream.SendMsg(&request); err != nil {
			t.Fatal(err)
		}
		response := new(response)
		if err := stream.RecvMsg(response); err != nil {
			t.Fatal(err)
		}
		return response
	}
	services := ask(request{Kind: listServices}).Services
	if want := []string{"grpc.health.v1.Health", v1, v1alpha}; !slices.Equal(services, want) {
		t.Errorf("%s lists %q, want %q", service, services, want)
	}
	for _, name := range services {
		if files := paths(t, ask(bySymbol(name))); len(files) != 1 {
			t.Errorf("%s gives %q for %s", service, files, name)
		}
	}
	if got := ask(bySymbol("no.Such")); got.Kind != errorResponse {
		t.Errorf("%s gives %+v for an unknown name", service, got)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(new(response)); err != io.EOF {
		t.Errorf("%s ends the call with %v, want io.EOF", service, err)
	}
}
