//go:build unix

package upstreamtests

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/internal/hostwire"
	"github.com/tenonrpc/tenon/plugin/interop/cases"
	"github.com/tenonrpc/tenon/plugin/interop/cases/leak"
	"github.com/tenonrpc/tenon/plugin/interop/upstreamtests/modes"
)

// driven is a mode of go-plugin's test binary, started by a host of this
// library in one way.
type driven struct {
	mode   string
	how    string // what is special about the host
	config func(*testing.T, *host.Config)
	result string // for the table

	// What Start fails with. A stage of 0 means that it does not.
	stage host.Stage
	err   error  // what errors.Is finds in it; nil if there is nothing to find
	text  string // what it says

	version int // what is agreed on
	broker  bool
	crash   bool // the plugin is made to panic

	// The rest is for modes that end by themselves. They are let to do so, by a
	// Runner that waits for it, also after Start has failed.
	ends   bool
	status int
	logged [][]string // lines of the log, each by what is in it
}

// hostVariable is what the host has in its environment, for the modes that
// look whether they have it as well.
const hostVariable = "PLUGIN_TEST_SKIP_HOST_ENV"

// shortStart is how long a host waits for a plugin that never says anything.
const shortStart = 100 * time.Millisecond

const refusesNetRPC = "refused: net/rpc"

// refused is how all end that speak net/rpc, or announce an address in the way
// of old, which means the same.
func refused(d driven) driven {
	d.stage, d.err, d.result = host.StageHandshake, hostwire.ErrNetRPC, join(d.result, refusesNetRPC)
	return d
}

func join(texts ...string) string {
	return strings.Join(slices.DeleteFunc(texts, func(s string) bool { return s == "" }), "; ")
}

var all = []driven{
	refused(driven{mode: "bad-version"}),
	{mode: "invalid-rpc-address", stage: host.StageHandshake, err: hostwire.ErrNotHandshake, text: "lolinvalid",
		result: "refused: no handshake line"},
	refused(driven{mode: "mock"}),
	{mode: "start-timeout", config: func(_ *testing.T, c *host.Config) { c.StartTimeout = shortStart },
		stage: host.StageHandshake, text: "printed no handshake line in time", result: "refused: no handshake in time"},
	refused(driven{mode: "stderr", ends: true,
		logged: [][]string{{"level=DEBUG", "msg=HELLO"}, {"level=DEBUG", "msg=WORLD"}}, result: "both lines are logged"}),
	refused(driven{mode: "stderr-json", ends: true,
		logged: [][]string{{"level=DEBUG", `[\"HELLO\"]`}, {"level=DEBUG", "msg=12345"}, {"level=DEBUG", `{\"a\":1}`}},
		result: "all three are logged as they are"}),
	refused(driven{mode: "level-warn-text", ends: true,
		logged: [][]string{{"level=WARN", "test line 98765"}}, result: "logged at its level"}),
	refused(driven{mode: "stdin", config: withStdin}),
	refused(driven{mode: "cleanup", config: func(t *testing.T, c *host.Config) {
		c.Cmd.Args = append(c.Cmd.Args, filepath.Join(t.TempDir(), "cleaned"))
	}}),

	{mode: "test-grpc", how: "plaintext", config: plaintext, version: 1, broker: true},
	{mode: "test-grpc", how: "AutoMTLS", version: 1, broker: true},
	{mode: "test-grpc", how: "multiplexed", config: multiplexed(plaintext), version: 1, broker: true},
	{mode: "test-grpc", how: "multiplexed, AutoMTLS", config: multiplexed(nil), version: 1, broker: true},
	{mode: "test-grpc", how: "plaintext", config: plaintext, version: 1, crash: true},
	{mode: "test-grpc", how: "AutoMTLS", version: 1, crash: true},
	{mode: "test-grpc-tls", how: "the same TLS", config: ownTLS, version: 1, broker: true},
	{mode: "test-grpc-tls", how: "AutoMTLS", stage: host.StageCheck, text: "announced no certificate",
		result: "refused: no certificate"},
	{mode: "test-grpc-tls", how: "plaintext", config: plaintext, stage: host.StageConnect,
		result: "refused: no connection"},

	refused(driven{mode: "test-interface"}),
	refused(driven{mode: "test-interface-logger-netrpc"}),
	{mode: "test-interface-logger-grpc", how: "plaintext", config: plaintext, version: 1},
	{mode: "test-interface-logger-grpc", how: "plaintext", config: plaintext, version: 1, crash: true},
	refused(driven{mode: "test-interface-daemon"}),
	refused(driven{mode: "test-interface-tls", how: "the same TLS", config: ownTLS}),
	refused(driven{mode: "test-interface-mtls", config: versions(nil, 2)}),

	{mode: "test-versioned-plugins", how: "version 2, the same TLS", config: versions(ownTLS, 2), version: 2, broker: true},
	{mode: "test-versioned-plugins", how: "versions 1 to 3, the same TLS", config: versions(ownTLS, 1, 2, 3), version: 2},
	{mode: "test-versioned-plugins", how: "version 1, the same TLS", config: versions(ownTLS, 1), stage: host.StageCheck,
		text: "speaks version 2 of the application's protocol, this host 1", result: "refused: no common version"},
	{mode: "test-proto-upgraded-plugin", how: "versions 1 and 2, the same TLS", config: versions(ownTLS, 1, 2), version: 2},
	refused(driven{mode: "test-proto-upgraded-plugin", how: "version 1, the same TLS", config: versions(ownTLS, 1)}),
	{mode: "test-proto-upgraded-client", how: "version 2, the same TLS", config: versions(ownTLS, 2), version: 2},
	{mode: "test-mtls", how: "version 2, AutoMTLS", config: versions(nil, 2), version: 2, broker: true},
	{mode: "test-mtls", how: "version 2, plaintext", config: versions(plaintext, 2), version: 2},
	{mode: "test-mtls", how: "version 1, AutoMTLS", stage: host.StageCheck,
		text: "speaks version 2 of the application's protocol, this host 1", result: "refused: no common version"},

	refused(driven{mode: "test-skip-host-env-true", ends: true, result: "the host's variable is withheld"}),
	refused(driven{mode: "test-skip-host-env-false", how: "the variable in Config.Env", ends: true,
		config: func(_ *testing.T, c *host.Config) { c.Env = append(c.Env, hostVariable+"=given") }, result: "it has the variable"}),
	refused(driven{mode: "test-skip-host-env-false", how: "Config.InheritEnv", ends: true,
		config: func(_ *testing.T, c *host.Config) { c.InheritEnv = true }, result: "it has the host's variable"}),
	{mode: "mux-grpc-with-old-plugin", how: "multiplexed", config: multiplexed(plaintext),
		stage: host.StageCheck, err: host.ErrMuxUnsupported, result: "refused: no multiplexing"},
	{mode: "mux-grpc-with-unsupported-plugin", how: "multiplexed", config: multiplexed(plaintext),
		stage: host.StageCheck, err: host.ErrMuxUnsupported, result: "refused: no multiplexing"},
}

func plaintext(_ *testing.T, c *host.Config) { c.InsecurePlaintext = true }

func multiplexed(other func(*testing.T, *host.Config)) func(*testing.T, *host.Config) {
	return func(t *testing.T, c *host.Config) {
		c.Multiplex = true
		if other != nil {
			other(t, c)
		}
	}
}

func ownTLS(t *testing.T, c *host.Config) {
	var err error
	if c.TLS, err = modes.TLS(oursDir); err != nil {
		t.Fatal(err)
	}
}

func versions(other func(*testing.T, *host.Config), list ...int) func(*testing.T, *host.Config) {
	return func(t *testing.T, c *host.Config) {
		c.ProtocolVersion, c.Plugins = 0, nil
		c.Versions = make(map[int]plugin.Set)
		for _, v := range list {
			c.Versions[v] = set
		}
		if other != nil {
			other(t, c)
		}
	}
}

func withStdin(t *testing.T, c *host.Config) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { read.Close() })
	if _, err := io.WriteString(write, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := write.Close(); err != nil {
		t.Fatal(err)
	}
	c.Cmd.Stdin = read
}

// TestDriven starts every mode of go-plugin's test binary with a host of this
// library.
func TestDriven(t *testing.T) {
	t.Setenv(hostVariable, "the host's")
	for _, m := range modes.All {
		if !slices.ContainsFunc(all, func(d driven) bool { return d.mode == m.Name }) {
			t.Errorf("mode %s is not driven", m.Name)
		}
		if works := slices.ContainsFunc(all, func(d driven) bool { return d.mode == m.Name && d.stage == 0 }); works != (m.Kind == modes.Served) {
			t.Errorf("mode %s is of the kind %q; it is to work: %v", m.Name, m.Kind, works)
		}
	}
	works, refusals := make(map[string]bool), 0
	for _, d := range all {
		name := strings.TrimSpace(d.mode + " " + d.how)
		if d.crash {
			name += " crash"
		}
		t.Run(name, func(t *testing.T) {
			before := leak.Now()
			// Nested, so that what it frees in the end is free when it is looked at.
			t.Run("start", func(t *testing.T) { d.drive(t) })
			settled(t, before, false)
			if t.Failed() {
				return
			}
			if d.stage == 0 {
				works[d.mode] = true
			} else {
				refusals++
			}
			printf("tenon host → go-plugin's test plugin  %-33s %-34s %s  ok\n", d.mode, d.how, d.told())
		})
	}
	printf("%d of %d modes are plugins that work under a host of this library, %d are refused for what they are; %d refusals in all\n\n",
		len(works), len(modes.All), len(modes.All)-len(works), refusals)
}

func (d *driven) told() string {
	switch {
	case d.stage != 0:
		return d.result
	case d.crash:
		return "the panic is logged, and in the error"
	case d.broker:
		return "calls, stream, log, output, broker, end"
	}
	return "calls, stream, log, output, end"
}

func (d *driven) drive(t *testing.T) {
	var stdout, stderr, log cases.Output
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log:\n%s", log.String())
		}
	})
	config := &host.Config{
		Handshake: plugin.Handshake{ProtocolVersion: 1, MagicCookieKey: "TEST_MAGIC_COOKIE", MagicCookieValue: "test"},
		Plugins:   set,
		Cmd:       exec.Command(theirs, "-test.run=TestHelperProcess", "--", d.mode),
		Env:       []string{"GO_WANT_HELPER_PROCESS=1"},
		Output:    host.Output{Stdout: &stdout, Stderr: &stderr},
		Logger:    slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if d.config != nil {
		d.config(t, config)
	}
	ctx, cancel := context.WithTimeout(t.Context(), cases.Timeout)
	defer cancel()
	var lets *letting
	if d.ends {
		lets = &letting{cmd: config.Cmd, ended: make(chan struct{})}
		config.Cmd, config.Runner = nil, lets
	}
	client, err := host.Start(ctx, config)
	if d.stage != 0 {
		d.checkRefusal(t, err)
		if lets != nil {
			d.checkEnd(ctx, t, lets, &log)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if got := client.Version(); got != d.version {
		t.Errorf("version %d is agreed on, not %d", got, d.version)
	}
	c := &caller{client: client, stdout: &stdout, stderr: &stderr, log: &log}
	if d.crash {
		c.crash(ctx, t)
	} else {
		c.use(ctx, t, d.broker)
	}
}

func (d *driven) checkRefusal(t *testing.T, err error) {
	t.Helper()
	var refusal *host.StartError
	if !errors.As(err, &refusal) {
		t.Fatalf("Start returned %v, not a StartError", err)
	}
	if refusal.Stage != d.stage {
		t.Errorf("Start failed in %v, not in %v: %v", refusal.Stage, d.stage, err)
	}
	if d.err != nil && !errors.Is(err, d.err) {
		t.Errorf("the error is not %v: %v", d.err, err)
	}
	if !strings.Contains(err.Error(), d.text) {
		t.Errorf("the error does not say %q: %v", d.text, err)
	}
}

// checkEnd waits for a plugin that ends by itself.
func (d *driven) checkEnd(ctx context.Context, t *testing.T, lets *letting, log *cases.Output) {
	t.Helper()
	select {
	case <-lets.ended:
	case <-ctx.Done():
		t.Fatal("the plugin does not end")
	}
	if got := lets.cmd.ProcessState.ExitCode(); got != d.status {
		t.Errorf("the plugin ended with %v, not with exit status %d", lets.cmd.ProcessState, d.status)
	}
	for _, line := range d.logged {
		if err := log.WaitLine(ctx, line...); err != nil {
			t.Errorf("no line with %q is logged: %v", line, err)
		}
	}
}
