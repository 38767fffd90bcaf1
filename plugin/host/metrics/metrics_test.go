package metrics_test

import (
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/metrics"
	"github.com/tenonrpc/tenon/plugin/host"
	hostmetrics "github.com/tenonrpc/tenon/plugin/host/metrics"
	"github.com/tenonrpc/tenon/plugin/host/supervise"
	"github.com/tenonrpc/tenon/testdata/examples/kvmain"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
	"github.com/tenonrpc/tenon/testdata/examples/kvshared"
)

func TestMain(m *testing.M) { os.Exit(kvmain.Run(m)) }

// TestPlugins looks at a plugin that works and at one that cannot be started.
func TestPlugins(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var set metrics.Set
	start := func(name, program string) *supervise.Supervisor {
		s, err := supervise.Start(&supervise.Config{Name: name, Host: &host.Config{
			Handshake: kvshared.Handshake,
			Cmd:       exec.Command(program),
			Env:       []string{kvmain.Variable + "=1", "GORACE=atexit_sleep_ms=0"},
			Client:    h2grpc.ClientConfig{Stats: set.Stats("plugin", name)},
			Logger:    slog.New(slog.DiscardHandler),
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	good, bad := start("kv", self), start("none", self+".none")
	set.Collect(hostmetrics.Plugins(good, bad))
	if _, err := kvpb.NewKVClient(good).Put(t.Context(), &kvpb.Entry{Key: "k"}); err != nil {
		t.Fatal(err)
	}
	if err := bad.WaitReady(t.Context()); err == nil {
		t.Fatal("a program that is missing was started")
	}
	var b strings.Builder
	set.WriteTo(&b)
	want := []string{
		`plugin_state{plugin="kv",state="ready"} 1`,
		`plugin_state{plugin="kv",state="gave up"} 0`,
		`plugin_state{plugin="none",state="ready"} 0`,
		`plugin_state{plugin="none",state="gave up"} 1`,
		`plugin_restarts_total{plugin="kv"} 0`,
		`plugin_failures{plugin="none"} 1`,
		`grpc_client_handled_total{grpc_service="example.kv.v1.KV",grpc_method="Put",grpc_type="unary",plugin="kv",grpc_code="OK"} 1`,
	}
	for _, line := range want {
		if !strings.Contains(b.String(), line+"\n") {
			t.Errorf("there is no line\n%s\nin\n%s", line, &b)
		}
	}
	if tells := runtime.GOOS == "linux" || runtime.GOOS == "windows"; strings.Contains(b.String(), `plugin_resident_memory_bytes{plugin="kv"} `) != tells {
		t.Errorf("whether the memory is there should be %v in\n%s", tells, &b)
	}
	if strings.Contains(b.String(), `plugin_cpu_seconds_total{plugin="none"}`) {
		t.Error("a plugin without a process uses something")
	}
}
