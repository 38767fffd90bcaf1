package h2grpc_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// onEveryNetwork runs a test over all networks, in plaintext and over TLS.
func onEveryNetwork(t *testing.T, run func(t *testing.T, s setup)) {
	for _, n := range networks {
		for _, tls := range []bool{false, true} {
			name := n.name
			if tls {
				name += "+tls"
			}
			t.Run(name, func(t *testing.T) { run(t, setup{listen: n.listen, tls: tls}) })
		}
	}
}

func TestUnary(t *testing.T) {
	onEveryNetwork(t, func(t *testing.T, s setup) {
		s.service = &testService{unary: echo}
		cc, _ := start(t, s)
		for _, n := range []int{0, 1, 100, 16 << 10, 64 << 10, 1 << 20, 9 << 20} {
			in := raw(bytes.Repeat([]byte{'a'}, n))
			var out raw
			if err := cc.Invoke(t.Context(), unaryMethod, &in, &out); err != nil {
				t.Fatalf("%d bytes: %v", n, err)
			}
			if !bytes.Equal(in, out) {
				t.Fatalf("%d bytes came back as %d", n, len(out))
			}
		}
	})
}

func TestUnaryConcurrent(t *testing.T) {
	onEveryNetwork(t, func(t *testing.T, s setup) {
		s.service = &testService{unary: echo}
		cc, _ := start(t, s)
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				for j := range 50 {
					want := fmt.Sprint(i, " ", strings.Repeat("x", j*100), " ", j)
					var out raw
					if err := cc.Invoke(t.Context(), unaryMethod, msg(want), &out); err != nil {
						t.Error(err)
						return
					}
					if string(out) != want {
						t.Errorf("caller %d got another's answer", i)
					}
				}
			})
		}
		wg.Wait()
	})
}

func TestUnaryStatus(t *testing.T) {
	cc, _ := start(t, setup{service: &testService{unary: func(context.Context, *raw) (*raw, error) {
		return nil, status.Error(codes.NotFound, "no such thing: 100% ünknown")
	}}})
	err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw))
	if got := status.Convert(err); got.Code() != codes.NotFound || got.Message() != "no such thing: 100% ünknown" {
		t.Fatalf("got %v", err)
	}
}

func TestBidi(t *testing.T) {
	onEveryNetwork(t, func(t *testing.T, s setup) {
		s.service = &testService{stream: echoStream}
		cc, _ := start(t, s)
		stream, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			want := fmt.Sprint(i)
			if err := stream.SendMsg(msg(want)); err != nil {
				t.Fatal(err)
			}
			var got raw
			if err := stream.RecvMsg(&got); err != nil || string(got) != want {
				t.Fatalf("sent %q, got %q, %v", want, got, err)
			}
		}
		stream.CloseSend()
		if err := stream.RecvMsg(new(raw)); err != io.EOF {
			t.Fatalf("after the last message: %v, want io.EOF", err)
		}
	})
}

func TestServerStream(t *testing.T) {
	const count = 10_000
	onEveryNetwork(t, func(t *testing.T, s setup) {
		s.service = &testService{stream: func(s h2grpc.ServerStream) error {
			if err := s.RecvMsg(new(raw)); err != nil {
				return err
			}
			for i := range count {
				if err := s.SendMsg(msg(fmt.Sprintf("%0100d", i))); err != nil {
					return err
				}
			}
			return nil
		}}
		cc, _ := start(t, s)
		stream, err := cc.NewStream(t.Context(), &serverDesc, serverMethod)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.SendMsg(msg("go")); err != nil {
			t.Fatal(err)
		}
		for i := range count {
			var got raw
			if err := stream.RecvMsg(&got); err != nil || string(got) != fmt.Sprintf("%0100d", i) {
				t.Fatalf("message %d: %q, %v", i, got, err)
			}
		}
		if err := stream.RecvMsg(new(raw)); err != io.EOF {
			t.Fatalf("after the last message: %v, want io.EOF", err)
		}
	})
}

func TestClientStream(t *testing.T) {
	onEveryNetwork(t, func(t *testing.T, s setup) {
		s.service = &testService{stream: func(s h2grpc.ServerStream) error {
			total := 0
			for {
				var m raw
				if err := s.RecvMsg(&m); err == io.EOF {
					return s.SendMsg(msg(fmt.Sprint(total)))
				} else if err != nil {
					return err
				}
				total += len(m)
			}
		}}
		cc, _ := start(t, s)
		stream, err := cc.NewStream(t.Context(), &clientDesc, clientMethod)
		if err != nil {
			t.Fatal(err)
		}
		for range 1000 {
			if err := stream.SendMsg(msg(strings.Repeat("y", 3000))); err != nil {
				t.Fatal(err)
			}
		}
		stream.CloseSend()
		var got raw
		if err := stream.RecvMsg(&got); err != nil || string(got) != "3000000" {
			t.Fatalf("got %q, %v", got, err)
		}
	})
}
