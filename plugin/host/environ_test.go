package host_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/internal/automtls"
	"github.com/tenonrpc/tenon/wire"
)

// failing starts a fake that ends by itself and returns the error.
func failing(t *testing.T, cfg *host.Config) *host.StartError {
	t.Helper()
	c, err := host.Start(t.Context(), cfg)
	if err == nil {
		c.Kill()
		t.Fatal("the start did not fail")
	}
	var start *host.StartError
	if !errors.As(err, &start) {
		t.Fatalf("the error is a %T, not a *StartError: %v", err, err)
	}
	return start
}

// environment returns the environment of a plugin started with cfg, without the
// variable that makes it a fake.
func environment(t *testing.T, cfg *host.Config) map[string]string {
	t.Helper()
	env := make(map[string]string)
	for entry := range strings.SplitSeq(string(failing(t, cfg).Stderr), "\x00") {
		name, value, _ := strings.Cut(entry, "=")
		if _, twice := env[name]; twice {
			t.Errorf("%s is there twice", name)
		}
		env[name] = value
	}
	if env[fakeEnv] != "prints-environment" {
		t.Fatalf("the environment is incomplete: %q", env)
	}
	return env
}

func TestEnvironmentIsLeastPrivilege(t *testing.T) {
	noLeaks(t)
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("LC_COLLATE", "C")
	t.Setenv(wire.EnvMultiplex, "true")
	t.Setenv(wire.EnvClientCert, "another host's")
	t.Setenv("PLUGIN_OF_ANOTHER_KIND", "x")
	t.Setenv(wire.EnvLifeline, "3:1:2")

	cfg := fakeConfig(t, "prints-environment")
	cfg.Versions = map[int]plugin.Set{3: nil, 2: nil}
	cfg.Cmd.Env = []string{"A=cmd", "B=cmd", "PLUGIN_UNIX_SOCKET_GROUP=wheel"}
	cfg.Env = append(cfg.Env, "B=config", "C=config", "PLUGIN_APPLICATIONS_OWN=1")
	env := environment(t, cfg)
	for name, want := range map[string]string{
		"PATH":                    os.Getenv("PATH"),
		"TMPDIR":                  os.Getenv("TMPDIR"),
		"LC_COLLATE":              "C",
		"A":                       "cmd",
		"B":                       "config",
		"C":                       "config",
		"PLUGIN_APPLICATIONS_OWN": "1",
		shake.MagicCookieKey:      shake.MagicCookieValue,
		wire.EnvMinPort:           "10000",
		wire.EnvMaxPort:           "25000",
		wire.EnvProtocolVersions:  "2,3",
	} {
		if got := env[name]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{
		"AWS_SECRET_ACCESS_KEY", wire.EnvMultiplex, "PLUGIN_OF_ANOTHER_KIND",
		wire.EnvUnixSocketGroup,
	} {
		if value, ok := env[name]; ok {
			t.Errorf("%s=%q reached the plugin", name, value)
		}
	}
	if life, err := wire.ParseLifeline(env[wire.EnvLifeline]); err != nil || runtime.GOOS != "windows" && life.FD != 3 {
		t.Errorf("the lifeline is %+v, %v, want descriptor 3", life, err)
	}
	if _, err := automtls.ParsePEM(env[wire.EnvClientCert]); err != nil {
		t.Errorf("the host's certificate: %v", err)
	}
	if dir := env[wire.EnvUnixSocketDir]; runtime.GOOS == "windows" && dir != "" || runtime.GOOS != "windows" && (!strings.HasPrefix(dir, os.TempDir()) || exists(dir)) {
		t.Errorf("the socket directory is %q; it must be a temporary one, and gone by now", dir)
	}
}

// TestEnvironmentTable compares MIGRATING.md's table with the code's.
func TestEnvironmentTable(t *testing.T) {
	const readme, head = "../MIGRATING.md", "  | variables | why |\n  | --- | --- |\n"
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), head)
	if !ok {
		t.Fatal("MIGRATING.md has no table of variables")
	}
	rows := 0
	for strings.HasPrefix(rest[rows:], "  | ") {
		rows += strings.IndexByte(rest[rows:], '\n') + 1
	}
	want := host.InheritedTable()
	if rest[:rows] == want {
		return
	}
	if !*update {
		t.Fatalf("MIGRATING.md has\n%s\nand the code\n%s(-update writes it anew)", rest[:rows], want)
	}
	if err := os.WriteFile(readme, []byte(before+head+want+rest[rows:]), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Programs and libraries are found as on the host; and what an operator has set for Go
// programs applies to plugins.
func TestEnvironmentOfTheOperator(t *testing.T) {
	noLeaks(t)
	names := []string{"SSL_CERT_FILE", "SSL_CERT_DIR", "LD_LIBRARY_PATH", "GOMEMLIMIT", "GOMAXPROCS"}
	for _, name := range names {
		t.Setenv(name, "1")
	}
	t.Setenv("GODEBUG", os.Getenv("GODEBUG")+",execerrdot=1")
	withheld := []string{"HTTPS_PROXY", "LD_PRELOAD_X", "PLUGIN_OF_THE_HOSTS"}
	for _, name := range withheld {
		t.Setenv(name, "hush-hush")
	}
	cfg := fakeConfig(t, "prints-environment")
	cfg.Cmd.Env = []string{"PLUGIN_MEANT=by the caller", wire.EnvMultiplex + "=true"}
	var log bytes.Buffer
	cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	env := environment(t, cfg)
	for _, name := range names {
		if env[name] != "1" {
			t.Errorf("%s is %q", name, env[name])
		}
	}
	if env["GODEBUG"] != os.Getenv("GODEBUG") || env["PLUGIN_MEANT"] != "by the caller" || env[wire.EnvMultiplex] != "" {
		t.Errorf("the environment is %q", env)
	}
	for _, name := range withheld {
		if _, there := env[name]; there || !strings.Contains(log.String(), name) {
			t.Errorf("%s: there %v; the log says %s", name, there, log.String())
		}
	}
	if strings.Contains(log.String(), "hush-hush") {
		t.Errorf("the log has values: %s", log.String())
	}
}

// A loader that finds no library reports so and ends the program with a status of its
// own; so does a shell that finds no program.
func TestLoadersWords(t *testing.T) {
	for _, script := range []string{
		"echo '/bin/x: error while loading shared libraries: libx.so.1: cannot open shared object file: No such file or directory' >&2; exit 1",
		"no-such-program-at-all",
	} {
		cfg := fakeConfig(t, "silent")
		cfg.Cmd.Path, cfg.Cmd.Args = "/bin/sh", []string{"sh", "-c", script}
		if runtime.GOOS == "windows" {
			t.Skip("no shell")
		}
		if failed := failing(t, cfg); !strings.Contains(failed.Hint, "a library that the plugin needs was not found") {
			t.Errorf("%s: %v", script, failed)
		}
	}
}

func TestInheritEnvPassesAllButTheProtocols(t *testing.T) {
	noLeaks(t)
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("PLUGIN_OF_ANOTHER_KIND", "x")
	t.Setenv(wire.EnvMultiplex, "true")
	cfg := fakeConfig(t, "prints-environment")
	cfg.InheritEnv = true
	env := environment(t, cfg)
	if env["AWS_SECRET_ACCESS_KEY"] != "secret" || env["PLUGIN_OF_ANOTHER_KIND"] != "x" {
		t.Error("a variable of the host is missing")
	}
	if value, ok := env[wire.EnvMultiplex]; ok {
		t.Errorf("%s=%q reached the plugin", wire.EnvMultiplex, value)
	}
}

func TestCertificateIsSentUnderAutoMTLSOnly(t *testing.T) {
	noLeaks(t)
	for name, change := range map[string]func(*host.Config){
		"own TLS":   func(c *host.Config) { c.TLS = &tls.Config{} },
		"plaintext": func(c *host.Config) { c.InsecurePlaintext = true },
	} {
		cfg := fakeConfig(t, "prints-environment")
		change(cfg)
		if cert, ok := environment(t, cfg)[wire.EnvClientCert]; ok {
			t.Errorf("%s: a certificate was sent: %q", name, cert)
		}
	}
}

func TestStartChangesNothingOfTheCallers(t *testing.T) {
	noLeaks(t)
	cfg := fakeConfig(t, "prints-environment")
	cfg.Cmd.Env = []string{"A=1", "A=2"}
	cfg.Versions = map[int]plugin.Set{3: {}}
	cfg.Plugins = plugin.Set{}
	cmd, env := *cfg.Cmd, slices.Clone(cfg.Env)
	failing(t, cfg)
	if cfg.Cmd.Process != nil || cfg.Cmd.Stdout != nil || cfg.Cmd.Stderr != nil || cfg.Cmd.Stdin != cmd.Stdin ||
		!slices.Equal(cfg.Cmd.Env, cmd.Env) || !slices.Equal(cfg.Env, env) || len(cfg.Versions) != 1 ||
		cfg.StopTimeout != 0 || cfg.TLS != nil {
		t.Errorf("the configuration has changed: %+v", cfg)
	}
	failing(t, cfg) // it is a template for any number of starts
}
