package host_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin/host"
)

// errGuarded is the error that the interceptors of these tests return for every call.
var errGuarded = status.Error(codes.PermissionDenied, "nobody may")

// guard adds interceptors that let nothing pass.
func guard(cfg *h2grpc.ClientConfig) {
	cfg.UnaryInterceptors = []h2grpc.UnaryClientInterceptor{
		func(context.Context, string, any, any, *h2grpc.ClientConn, h2grpc.UnaryInvoker, ...h2grpc.CallOption) error {
			return errGuarded
		},
	}
	cfg.StreamInterceptors = []h2grpc.StreamClientInterceptor{
		func(context.Context, *h2grpc.StreamDesc, *h2grpc.ClientConn, string, h2grpc.Streamer, ...h2grpc.CallOption) (h2grpc.ClientStream, error) {
			return nil, errGuarded
		},
	}
}

// counting is an h2grpc.Stats that counts calls.
type counting struct{ begun, ended atomic.Int32 }

func (c *counting) Begin(ctx context.Context, _ h2grpc.CallInfo) context.Context {
	c.begun.Add(1)
	return ctx
}
func (c *counting) Headers(context.Context, h2grpc.Direction, metadata.MD)        {}
func (c *counting) Message(context.Context, h2grpc.Direction, h2grpc.MessageSize) {}
func (c *counting) End(context.Context, error, time.Duration)                     { c.ended.Add(1) }

// TestInterceptorsSeeTheApplicationsCalls has interceptors that let nothing pass, of
// the host or of the plugin: they stop neither Ping nor the output nor an orderly end,
// and Stats does not see these, unless Exempt changes that.
func TestInterceptorsSeeTheApplicationsCalls(t *testing.T) {
	for name, c := range map[string]struct {
		plugin string
		change func(*host.Config)
		ping   codes.Code
	}{
		"host":            {"real", func(cfg *host.Config) { guard(&cfg.Client) }, codes.OK},
		"plugin":          {"real-guarded", func(*host.Config) {}, codes.OK},
		"everything":      {"real", func(cfg *host.Config) { guard(&cfg.Client); cfg.Client.Exempt = func(string) bool { return false } }, codes.PermissionDenied},
		"a method is not": {"real", func(cfg *host.Config) { guard(&cfg.Client); cfg.Client.Exempt = notHealth }, codes.PermissionDenied},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			cfg := fakeConfig(t, c.plugin)
			stats := new(counting)
			cfg.Client.Stats = stats
			c.change(cfg)
			client := start(t, cfg)
			if err := client.Ping(t.Context()); status.Code(err) != c.ping {
				t.Errorf("Ping: %v", err)
			}
			if begun := stats.begun.Load(); c.ping == codes.OK && begun != 0 {
				t.Errorf("Stats have seen %d calls of the protocol", begun)
			}
			err := client.Conn().Invoke(t.Context(), echoMethod, new(words), new(words))
			if status.Code(err) != codes.PermissionDenied {
				t.Errorf("a call of the application: %v", err)
			}
			if name == "everything" { // Shutdown is stopped as well
				client.Kill()
				return
			}
			closes(t, client)
			if want := (host.ExitStatus{Ended: true}); client.ExitStatus() != want {
				t.Errorf("exit status %v, want %v", client.ExitStatus(), want)
			}
			if name == "plugin" && (stats.begun.Load() != 1 || stats.ended.Load() != 1) {
				t.Errorf("Stats have seen %d calls begin and %d end, want one", stats.begun.Load(), stats.ended.Load())
			}
		})
	}
}

// notHealth exempts all but health checks.
func notHealth(method string) bool { return strings.HasPrefix(method, "/plugin.") }
