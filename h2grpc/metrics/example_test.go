package metrics_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/metrics"
)

// A program has one set, and a Stats of it for each connection or server that it wants
// to tell apart.
func ExampleSet() {
	var set metrics.Set
	config := h2grpc.ClientConfig{Stats: set.Stats("plugin", "kv")} // and Dial; or Client of host.Config

	// What the connection does with it for a call:
	ctx := config.Stats.Begin(context.Background(), h2grpc.CallInfo{Method: "/kv.KV/Get", Client: true})
	config.Stats.End(ctx, nil, 3*time.Millisecond)

	set.Collect(func(w *metrics.Writer) {
		w.Family("app_ready", "gauge", "Whether the application is ready.")
		w.Sample("", 1)
	})
	if _, err := set.WriteTo(short{}); err != nil { // an http.ResponseWriter, say
		fmt.Println(err)
	}
	// Output:
	// grpc_client_handled_total{grpc_service="kv.KV",grpc_method="Get",grpc_type="unary",plugin="kv",grpc_code="OK"} 1
	// app_ready 1
}

// short prints some of the lines.
type short struct{}

func (short) Write(text []byte) (int, error) {
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "grpc_client_handled") || strings.HasPrefix(line, "app") {
			fmt.Print(line)
		}
	}
	return len(text), nil
}
