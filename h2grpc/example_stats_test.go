package h2grpc_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// metrics is an h2grpc.Stats that counts calls by side, method and code, as an
// adapter to Prometheus or OpenTelemetry does: there, series would be counters and
// histograms, and span a span.
type metrics struct {
	mu     sync.Mutex
	series map[labels]*series // guarded by mu
}

type labels struct {
	side, method string
	code         codes.Code
}

type series struct {
	calls          int
	took           time.Duration // of all calls together
	sent, received int           // bytes of messages as they were sent
}

// span is one call. Its messages may be sent and received at the same time.
type span struct {
	labels
	mu             sync.Mutex
	sent, received int // guarded by mu
}

type metricsKey struct{}

func (m *metrics) Begin(ctx context.Context, call h2grpc.CallInfo) context.Context {
	s := &span{labels: labels{side: "server", method: call.Method}}
	if call.Client {
		s.side = "client"
		// A tracer would send its identifiers here, and find them in the
		// incoming metadata on the server.
		ctx = metadata.AppendToOutgoingContext(ctx, "traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	}
	return context.WithValue(ctx, metricsKey{}, s)
}

func (m *metrics) Headers(context.Context, h2grpc.Direction, metadata.MD) {}

func (m *metrics) Message(ctx context.Context, dir h2grpc.Direction, size h2grpc.MessageSize) {
	s := ctx.Value(metricsKey{}).(*span)
	s.mu.Lock()
	defer s.mu.Unlock()
	if dir == h2grpc.DirectionSent {
		s.sent += size.Wire
	} else {
		s.received += size.Wire
	}
}

func (m *metrics) End(ctx context.Context, err error, took time.Duration) {
	s := ctx.Value(metricsKey{}).(*span)
	s.mu.Lock()
	sent, received := s.sent, s.received
	s.mu.Unlock()
	l := s.labels
	l.code = status.Code(err)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.series == nil {
		m.series = map[labels]*series{}
	}
	if m.series[l] == nil {
		m.series[l] = new(series)
	}
	sum := m.series[l]
	sum.calls++
	sum.took += took
	sum.sent += sent
	sum.received += received
}

// print lists the series, without the times, which differ from run to run.
func (m *metrics) print() {
	m.mu.Lock()
	defer m.mu.Unlock()
	keys := slices.SortedFunc(maps.Keys(m.series), func(a, b labels) int {
		return slices.Compare([]string{a.side, a.code.String()}, []string{b.side, b.code.String()})
	})
	for _, l := range keys {
		s := m.series[l]
		fmt.Printf("%s %s %v: %d calls, %d bytes sent, %d received, in time: %t\n",
			l.side, l.method, l.code, s.calls, s.sent, s.received, s.took < time.Minute)
	}
}

// text is a message of plain bytes. Generated messages work as well.
type text string

func (m *text) AppendTo(b []byte) ([]byte, error) { return append(b, *m...), nil }

func (m *text) UnmarshalFrom(b []byte) error { *m = text(b); return nil }

// hello is what generated code registers.
var hello = h2grpc.ServiceDesc{
	ServiceName: "greet.Greeter",
	Methods: []h2grpc.MethodDesc{{
		MethodName: "Hello",
		Handler: func(_ any, _ context.Context, decode func(any) error, _ h2grpc.UnaryServerInterceptor) (any, error) {
			var name text
			if err := decode(&name); err != nil {
				return nil, err
			}
			if name == "" {
				return nil, status.Error(codes.InvalidArgument, "hello whom?")
			}
			reply := "hello " + name
			return &reply, nil
		},
	}},
}

// One type counts calls on both ends, without a change to the service or its clients.
func ExampleStats() {
	m := new(metrics)
	client, server := net.Pipe()
	srv := h2grpc.NewServer(&h2grpc.ServerConfig{Stats: m})
	srv.RegisterService(&hello, nil)
	go srv.ServeConn(context.Background(), server)
	cc := h2grpc.NewClient(&h2grpc.ClientConfig{
		Dial:  func(context.Context) (net.Conn, error) { return client, nil },
		Stats: m,
	})
	for _, name := range []text{"Ada", "Grace", ""} {
		var reply text
		if err := cc.Invoke(context.Background(), "/greet.Greeter/Hello", &name, &reply); err != nil {
			fmt.Println(err)
		}
	}
	cc.Close()
	srv.Close()
	m.print()
	// Output:
	// rpc error: code = InvalidArgument desc = hello whom?
	// client /greet.Greeter/Hello InvalidArgument: 1 calls, 5 bytes sent, 0 received, in time: true
	// client /greet.Greeter/Hello OK: 2 calls, 18 bytes sent, 30 received, in time: true
	// server /greet.Greeter/Hello InvalidArgument: 1 calls, 0 bytes sent, 5 received, in time: true
	// server /greet.Greeter/Hello OK: 2 calls, 30 bytes sent, 18 received, in time: true
}
