package host_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/limit"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
)

func init() {
	reals["real-limited"] = func() *plugin.ServeConfig { return limitedConfig(&limit.Config{}, nil) }
	reals["real-limited-everywhere"] = func() *plugin.ServeConfig {
		return limitedConfig(&limit.Config{
			Exempt: []string{"/plugin.GRPCController/", "/plugin.GRPCBroker/", "/plugin.GRPCStdio/"},
		}, func(string) bool { return false })
	}
}

// limitedConfig is a plugin that lets in one call of the application, for eleven days.
func limitedConfig(cfg *limit.Config, exempt func(string) bool) *plugin.ServeConfig {
	cfg.Server = limit.Limits{Rate: 1e-6, Burst: 1, InFlight: 1}
	l, err := limit.New(cfg)
	must(err)
	printing := func(ctx context.Context, req any, info *h2grpc.UnaryServerInfo, handler h2grpc.UnaryHandler) (any, error) {
		if info.FullMethod == "" { // those of the echo have no name
			fmt.Println("let in")
		}
		return handler(ctx, req)
	}
	return &plugin.ServeConfig{Handshake: shake, Plugins: plugin.Set{"echo": echo{"1 "}}, Server: h2grpc.ServerConfig{
		UnaryInterceptors:  []h2grpc.UnaryServerInterceptor{l.Unary, printing},
		StreamInterceptors: []h2grpc.StreamServerInterceptor{l.Stream},
		Exempt:             exempt,
	}}
}

// TestLimitsAreTheApplications has a plugin whose limits let nearly nothing in: they
// stop neither Ping nor the broker, the output or an orderly end, also where
// interceptors see these.
func TestLimitsAreTheApplications(t *testing.T) {
	for _, name := range []string{"real-limited", "real-limited-everywhere"} {
		t.Run(name, func(t *testing.T) { limitsAreTheApplications(t, name) })
	}
}

func limitsAreTheApplications(t *testing.T, name string) {
	noLeaks(t)
	cfg := withEcho(t, name)
	// A plugin that may outlive its host has no pipes of its host's: what it prints is
	// sent by the protocol's service.
	cfg.Detach = true
	stdout := newSink()
	cfg.Output.Stdout = stdout
	c := start(t, cfg)
	ping := func() {
		t.Helper()
		if err := c.Ping(t.Context()); err != nil {
			t.Errorf("Ping: %v", err)
		}
	}
	ping()
	client, err := host.Dispense[*echoClient](t.Context(), c, "echo")
	if err != nil {
		t.Fatal(err)
	}
	id, err := client.broker.Serve(t.Context(), func(s *h2grpc.Server) error {
		s.RegisterService(&h2grpc.ServiceDesc{ServiceName: "test.Host", Methods: []h2grpc.MethodDesc{
			method("Name", func(_ context.Context, in string) (string, error) {
				ping() // while the application's call is in progress
				return "the host, " + in, nil
			}),
		}}, nil)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := client.call(t.Context(), callMethod, fmt.Sprint(id)); err != nil || got != "the host, who" {
		t.Errorf("the one call that may pass: %q, %v", got, err)
	}
	if got := <-stdout.writes; got != "let in\n" {
		t.Errorf("%q arrived on stdout", got)
	}
	for range 3 {
		_, err := client.call(t.Context(), echoMethod, "x")
		if d, ok := limit.RetryDelay(err); status.Code(err) != codes.ResourceExhausted || !ok || d < 200*time.Hour {
			t.Errorf("another call: %v, with the delay %v", err, d)
		}
		ping()
	}
	closes(t, c)
	if n := len(stdout.writes); n != 0 {
		t.Errorf("%d of the calls that were refused have reached the next interceptor", n)
	}
	if want := (host.ExitStatus{Ended: true}); c.ExitStatus() != want {
		t.Errorf("exit status %v, want %v", c.ExitStatus(), want)
	}
}
