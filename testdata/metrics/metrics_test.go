// Package metrics_test has Prometheus' own parser and linter judge what h2grpc/metrics
// and plugin/host/metrics write.
package metrics_test

import (
	"context"
	"log/slog"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/metrics"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin/host"
	hostmetrics "github.com/tenonrpc/tenon/plugin/host/metrics"
	"github.com/tenonrpc/tenon/plugin/host/supervise"
)

// written returns what a set writes that has some of everything.
func written(t *testing.T) string {
	t.Helper()
	var set metrics.Set
	for _, stats := range []h2grpc.Stats{set.Stats("plugin", "kv"), set.Stats("plugin", "odd \\ \"name\"\n\xff")} {
		for _, info := range []h2grpc.CallInfo{
			{Method: "/kv.KV/Get", Client: true}, {Method: "/kv.KV/Get"}, {Method: "/kv.KV/List", IsServerStream: true},
			{Method: "/kv.KV/Import", Client: true, IsClientStream: true}, {Method: "/kv.KV/Lookup", IsClientStream: true, IsServerStream: true},
		} {
			for _, err := range []error{nil, status.Error(codes.Unavailable, "gone"), status.Error(codes.Code(99), "odd"), status.Error(codes.Unimplemented, "none")} {
				ctx := stats.Begin(context.Background(), info)
				stats.Message(ctx, h2grpc.DirectionReceived, h2grpc.MessageSize{})
				stats.End(ctx, err, 3*time.Millisecond)
			}
		}
	}
	s, err := supervise.Start(&supervise.Config{OnDemand: true, Name: "kv", Host: &host.Config{
		Cmd: exec.Command("kv"), Logger: slog.New(slog.DiscardHandler),
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	set.Collect(hostmetrics.Plugins(s))
	var b strings.Builder
	if _, err := set.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestParser reads it with Prometheus' parser.
func TestParser(t *testing.T) {
	text := written(t)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	histogram := families["grpc_server_handling_seconds"]
	if histogram == nil || len(histogram.Metric) != 6 {
		t.Fatalf("got %v", histogram)
	}
	for _, m := range histogram.Metric {
		h := m.GetHistogram()
		if h.GetSampleCount() == 0 || len(h.Bucket) != 17 || h.Bucket[16].GetCumulativeCount() != h.GetSampleCount() || h.GetSampleSum() < 0.003 {
			t.Errorf("a histogram is %v", h)
		}
	}
	found := false
	for _, m := range families["grpc_client_handled_total"].Metric {
		for _, l := range m.Label {
			found = found || l.GetName() == "plugin" && l.GetValue() == "odd \\ \"name\"\n\ufffd"
		}
	}
	if !found {
		t.Errorf("a label has not come through:\n%s", text)
	}
	if format := expfmt.ResponseFormat(map[string][]string{"Content-Type": {metrics.ContentType}}); format == expfmt.NewFormat(expfmt.TypeUnknown) {
		t.Errorf("the content type %q is not known", metrics.ContentType)
	}
}

// TestLint has Prometheus' linter look at names and helps.
func TestLint(t *testing.T) {
	problems, err := promlint.New(strings.NewReader(written(t))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}
