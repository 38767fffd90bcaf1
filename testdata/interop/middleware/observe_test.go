package middleware_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/tenonrpc/tenon/h2grpc/grpcbridge"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

// TestPrometheus: both ends' metrics count calls, their codes and their messages.
func TestPrometheus(t *testing.T) {
	client, server := prometheus.NewClientMetrics(), prometheus.NewServerMetrics()
	registry := prom.NewRegistry()
	registry.MustRegister(client, server)
	var s setup
	s.client.UnaryInterceptors = []grpc.UnaryClientInterceptor{client.UnaryClientInterceptor()}
	s.client.StreamInterceptors = []grpc.StreamClientInterceptor{client.StreamClientInterceptor()}
	s.server.UnaryInterceptors = []grpc.UnaryServerInterceptor{server.UnaryServerInterceptor()}
	s.server.StreamInterceptors = []grpc.StreamServerInterceptor{server.StreamServerInterceptor()}
	svc := &service{
		unary: func(context.Context) error { return status.Error(codes.NotFound, "gone") },
		full: func(stream bidiServer) error {
			if _, err := stream.Recv(); err != nil {
				return err
			}
			return stream.Send(&testpb.StreamingOutputCallResponse{})
		},
	}
	var registrar *grpcbridge.Registrar
	conn := connect(t, func(r *grpcbridge.Registrar) { svc.register(r); registrar = r }, s)
	both(t, within(t), testpb.NewTestServiceClient(conn))

	got := make(map[string]float64)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.Metric {
			name := family.GetName()
			for _, label := range m.Label {
				if label.GetName() == "grpc_method" || label.GetName() == "grpc_code" {
					name += " " + label.GetValue()
				}
			}
			got[name] = m.GetCounter().GetValue()
		}
	}
	for _, end := range []string{"client", "server"} {
		for name, want := range map[string]float64{
			"started_total UnaryCall":          1,
			"handled_total NotFound UnaryCall": 1,
			"handled_total OK FullDuplexCall":  1,
			"msg_sent_total FullDuplexCall":    1,
		} {
			if n := got["grpc_"+end+"_"+name]; n != want {
				t.Errorf("the %s's %s is %v; want %v", end, name, n, want)
			}
		}
	}
	server.InitializeMetrics(registrar)
	if n := testutil.CollectAndCount(server, "grpc_server_started_total"); n < 8 {
		t.Errorf("%d methods are known of the service", n)
	}
}

// spans keeps the spans that have ended, until there are as many as a test waits for.
type spans struct {
	*tracetest.InMemoryExporter
	ended chan struct{}
}

func newSpans() *spans { return &spans{tracetest.NewInMemoryExporter(), make(chan struct{}, 16)} }

func (s *spans) ExportSpans(ctx context.Context, all []trace.ReadOnlySpan) error {
	err := s.InMemoryExporter.ExportSpans(ctx, all)
	for range all {
		s.ended <- struct{}{}
	}
	return err
}

func (s *spans) take(n int) tracetest.SpanStubs {
	for range n {
		<-s.ended
	}
	defer s.Reset()
	return s.GetSpans()
}

// TestOpenTelemetry: spans of both ends are one trace, with the bridge at both ends
// and at either, and know codes and methods.
func TestOpenTelemetry(t *testing.T) {
	exported := newSpans()
	provider := trace.NewTracerProvider(trace.WithSyncer(exported))
	defer provider.Shutdown(context.Background())
	opts := []otelgrpc.Option{otelgrpc.WithTracerProvider(provider), otelgrpc.WithPropagators(propagation.TraceContext{})}
	var inHandler oteltrace.SpanContext
	svc := &service{unary: func(ctx context.Context) error {
		inHandler = oteltrace.SpanContextFromContext(ctx)
		return status.Error(codes.Internal, "broken")
	}, full: func(bidiServer) error { return nil }}

	var s setup
	s.h2client.Stats = grpcbridge.Stats(otelgrpc.NewClientHandler(opts...))
	s.h2server.Stats = grpcbridge.Stats(otelgrpc.NewServerHandler(opts...))
	ours := serve(t, svc.register, s)
	lis := listen(t)
	server := grpc.NewServer(grpc.StatsHandler(otelgrpc.NewServerHandler(opts...)))
	testpb.RegisterTestServiceServer(server, svc)
	done := make(chan error)
	go func() { done <- server.Serve(lis) }()
	defer func() { server.Stop(); <-done }()
	theirs, err := grpc.NewClient("passthrough:///"+ours, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithStatsHandler(otelgrpc.NewClientHandler(opts...)))
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()

	for link, conn := range map[string]grpc.ClientConnInterface{
		"h2grpc to h2grpc":  dial(t, ours, s),
		"h2grpc to grpc-go": dial(t, lis.Addr().String(), s),
		"grpc-go to h2grpc": theirs,
	} {
		t.Run(link, func(t *testing.T) {
			ctx, outer := provider.Tracer("test").Start(within(t), "outer")
			both(t, ctx, testpb.NewTestServiceClient(conn))
			outer.End()
			byName := make(map[string]tracetest.SpanStub)
			for _, span := range exported.take(5) {
				byName[fmt.Sprint(span.SpanKind, " ", span.Name)] = span
			}
			for _, method := range []string{"UnaryCall", "FullDuplexCall"} {
				name := "grpc.testing.TestService/" + method
				client, server := byName["client "+name], byName["server "+name]
				if client.Parent.SpanID() != outer.SpanContext().SpanID() || server.Parent.SpanID() != client.SpanContext.SpanID() ||
					server.SpanContext.TraceID() != outer.SpanContext().TraceID() || !server.Parent.IsRemote() {
					t.Errorf("the spans of %s are no chain: %+v", method, byName)
				}
			}
			name := "grpc.testing.TestService/UnaryCall"
			if got := byName["server "+name]; inHandler.SpanID() != got.SpanContext.SpanID() || got.Status.Code != otelcodes.Error {
				t.Errorf("the handler's span is %v, and the server's %+v", inHandler, got)
			}
			if got := byName["client "+name]; got.Status.Code != otelcodes.Error || !slices.ContainsFunc(got.Attributes, func(a attribute.KeyValue) bool {
				return a.Key == "rpc.response.status_code" && a.Value.AsString() == "INTERNAL"
			}) {
				t.Errorf("the client's span is %+v", got)
			}
		})
	}
}
