package metrics_test

import (
	"context"
	"fmt"
	"math"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/metrics"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// text returns what the set writes.
func text(t *testing.T, set *metrics.Set) string {
	t.Helper()
	var b strings.Builder
	n, err := set.WriteTo(&b)
	if err != nil || int(n) != b.Len() {
		t.Fatalf("WriteTo returned %d, %v, having written %d bytes", n, err, b.Len())
	}
	return b.String()
}

// want checks that lines are there.
func want(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("there is no line\n%s\nin\n%s", line, text)
		}
	}
}

// TestCalls counts what a client and a server do in a second each.
func TestCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var set metrics.Set
		entered, release := make(chan struct{}), make(chan struct{})
		srv := h2grpc.NewServer(&h2grpc.ServerConfig{Stats: set.Stats(), Unknown: func(method string, stream h2grpc.ServerStream) error {
			var m h2grpc.Raw
			if err := stream.RecvMsg(&m); err != nil {
				return err
			}
			switch method {
			case "/kv.KV/Get":
				time.Sleep(time.Second)
				return stream.SendMsg(&m)
			case "/kv.KV/Wait":
				close(entered)
				<-release
				return stream.SendMsg(&m)
			case "/kv.KV/Odd":
				return status.Error(codes.Code(1_000_000), "a code that gRPC does not know")
			}
			return status.Error(codes.NotFound, "no")
		}})
		a, b := net.Pipe()
		go srv.ServeConn(context.Background(), b)
		cc := h2grpc.NewClient(&h2grpc.ClientConfig{
			Dial:  func(context.Context) (net.Conn, error) { return a, nil },
			Stats: set.Stats("plugin", `a "quoted" name`+"\n"),
		})
		call := func(method string) error {
			in, out := h2grpc.Raw("x"), h2grpc.Raw(nil)
			return cc.Invoke(t.Context(), method, &in, &out)
		}
		for _, method := range []string{"/kv.KV/Get", "/kv.KV/Get", "/kv.KV/Put", "/kv.KV/Odd"} {
			call(method)
		}
		done := make(chan error, 1)
		go func() { done <- call("/kv.KV/Wait") }()
		<-entered
		synctest.Wait() // a server's call ends a moment after its client knows
		got := text(t, &set)
		labels := `grpc_service="kv.KV",grpc_method="Get",grpc_type="unary",plugin="a \"quoted\" name\n"`
		server := `grpc_service="kv.KV",grpc_method="Get",grpc_type="bidi_stream"` // Unknown does not tell the kinds apart
		want(t, got,
			"# TYPE grpc_client_handled_total counter",
			`grpc_client_handled_total{`+labels+`,grpc_code="OK"} 2`,
			`grpc_client_handled_total{grpc_service="kv.KV",grpc_method="Put",grpc_type="unary",plugin="a \"quoted\" name\n",grpc_code="NotFound"} 1`,
			`grpc_client_handled_total{grpc_service="kv.KV",grpc_method="Odd",grpc_type="unary",plugin="a \"quoted\" name\n",grpc_code="other"} 1`,
			"# TYPE grpc_client_handling_seconds histogram",
			`grpc_client_handling_seconds_bucket{`+labels+`,le="0.0001"} 0`,
			`grpc_client_handling_seconds_bucket{`+labels+`,le="0.5"} 0`,
			`grpc_client_handling_seconds_bucket{`+labels+`,le="1"} 2`,
			`grpc_client_handling_seconds_bucket{`+labels+`,le="+Inf"} 2`,
			`grpc_client_handling_seconds_sum{`+labels+`} 2`,
			`grpc_client_handling_seconds_count{`+labels+`} 2`,
			`grpc_client_msg_sent_total{`+labels+`} 2`,
			`grpc_client_msg_received_total{`+labels+`} 2`,
			`grpc_client_in_flight{plugin="a \"quoted\" name\n"} 1`,
			`grpc_server_handled_total{`+server+`,grpc_code="OK"} 2`,
			`grpc_server_msg_sent_total{`+server+`} 2`,
			"grpc_server_in_flight 1",
		)
		close(release)
		if err := <-done; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		want(t, text(t, &set), `grpc_client_in_flight{plugin="a \"quoted\" name\n"} 0`, "grpc_server_in_flight 0")
		cc.Close()
		srv.Close()
	})
}

// TestCardinality: methods that a peer invents have one row together.
func TestCardinality(t *testing.T) {
	var set metrics.Set
	stats := set.Stats()
	end := func(method string, err error) {
		ctx := stats.Begin(context.Background(), h2grpc.CallInfo{Method: method})
		stats.Message(ctx, h2grpc.DirectionReceived, h2grpc.MessageSize{})
		stats.End(ctx, err, time.Millisecond)
	}
	for n := range 5000 {
		end(fmt.Sprintf("/invented.S/M%d", n), status.Error(codes.Unimplemented, "unknown method"))
	}
	got := text(t, &set)
	want(t, got,
		`grpc_server_handled_total{grpc_service="other",grpc_method="other",grpc_type="other",grpc_code="Unimplemented"} 5000`,
		`grpc_server_msg_received_total{grpc_service="other",grpc_method="other",grpc_type="other"} 5000`)
	if n := strings.Count(got, "\n"); n > 40 {
		t.Errorf("%d lines were written", n)
	}
	// A server that takes every method, such as a proxy.
	for n := range 5000 {
		end(fmt.Sprintf("/invented.S/M%d", n), nil)
	}
	got = text(t, &set)
	if n := strings.Count(got, "grpc_server_msg_sent_total{"); n != 1000 {
		t.Errorf("%d methods are counted, want 1000", n)
	}
	want(t, got, `grpc_server_handled_total{grpc_service="other",grpc_method="other",grpc_type="other",grpc_code="OK"} 4001`)
}

// TestLargestCode: a code that is no int where an int has 32 bits.
func TestLargestCode(t *testing.T) {
	var set metrics.Set
	stats := set.Stats()
	ctx := stats.Begin(context.Background(), h2grpc.CallInfo{Method: "/kv.KV/Get"})
	stats.End(ctx, status.Error(codes.Code(math.MaxUint32), "odd"), time.Millisecond)
	want(t, text(t, &set), `grpc_server_handled_total{grpc_service="kv.KV",grpc_method="Get",grpc_type="unary",grpc_code="other"} 1`)
}

// TestConcurrent: nothing is lost, and the same labels count together.
func TestConcurrent(t *testing.T) {
	var set metrics.Set
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			stats := set.Stats("plugin", "kv")
			for n := range 1000 {
				ctx := stats.Begin(context.Background(), h2grpc.CallInfo{Method: fmt.Sprintf("/kv.KV/M%d", n%3), Client: true})
				stats.Headers(ctx, h2grpc.DirectionSent, nil)
				stats.Message(ctx, h2grpc.DirectionSent, h2grpc.MessageSize{})
				stats.End(ctx, nil, time.Microsecond)
				if n%100 == 0 {
					set.WriteTo(new(strings.Builder))
				}
			}
		})
	}
	all.Wait()
	got := text(t, &set)
	for n, calls := range []int{8 * 334, 8 * 333, 8 * 333} {
		labels := fmt.Sprintf(`grpc_service="kv.KV",grpc_method="M%d",grpc_type="unary",plugin="kv"`, n)
		want(t, got,
			fmt.Sprintf(`grpc_client_handled_total{%s,grpc_code="OK"} %d`, labels, calls),
			fmt.Sprintf(`grpc_client_msg_sent_total{%s} %d`, labels, calls),
			fmt.Sprintf(`grpc_client_handling_seconds_bucket{%s,le="0.0001"} %d`, labels, calls))
	}
}

func TestCollect(t *testing.T) {
	var set metrics.Set
	set.Collect(func(w *metrics.Writer) {
		w.Family("app_rows", "gauge", "Rows \\ and\nlines.")
		w.Sample("", 1.5, "table", "a\xffb")
		w.Family("app_none", "gauge", "It has no samples.")
		w.Family("app_up", "gauge", "Whether it is up.")
		w.Sample("", 1)
	})
	const expected = `# HELP app_rows Rows \\ and\nlines.
# TYPE app_rows gauge
app_rows{table="a` + "\ufffd" + `b"} 1.5
# HELP app_up Whether it is up.
# TYPE app_up gauge
app_up 1
`
	if got := text(t, &set); got != expected {
		t.Errorf("got\n%s\nwant\n%s", got, expected)
	}
	for _, labels := range [][]string{{"a"}, {"", "v"}, {"1a", "v"}, {"a-b", "v"}, {"ä", "v"}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("the labels %q are taken", labels)
				}
			}()
			set.Stats(labels...)
		}()
	}
}
