package host_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/wire"
)

func TestConfigMistakes(t *testing.T) {
	noLeaks(t)
	for want, change := range map[string]func(*host.Config){
		"MagicCookieKey and MagicCookieValue must be set": func(c *host.Config) { c.MagicCookieValue = "" },
		"cannot be an environment variable":               func(c *host.Config) { c.MagicCookieKey = "A=B" },
		"is a variable of the protocol itself":            func(c *host.Config) { c.MagicCookieKey = wire.EnvMinPort },
		"version -1 is not between 0":                     func(c *host.Config) { c.ProtocolVersion = -1 },
		`the plugin "kv" of version 2 is nil`: func(c *host.Config) {
			c.Versions = map[int]plugin.Set{2: {"kv": nil}}
		},
		"the Cmd is nil":                          func(c *host.Config) { c.Cmd = nil },
		"Cmd has already been started":            func(c *host.Config) { c.Cmd.Process = &os.Process{Pid: 1} },
		"Cmd.Stdout and Cmd.Stderr":               func(c *host.Config) { c.Cmd.Stderr = io.Discard },
		"Cmd.Path is empty":                       func(c *host.Config) { c.Cmd = &exec.Cmd{} },
		"not an *os.File":                         func(c *host.Config) { c.Cmd.Stdin = strings.NewReader("") },
		"Cmd.Env[0] is not NAME=value":            func(c *host.Config) { c.Cmd.Env = []string{"A"} },
		"Env[1] is not NAME=value":                func(c *host.Config) { c.Env = []string{"A=", "B=\x00"} },
		"the Env sets PLUGIN_CLIENT_CERT":         func(c *host.Config) { c.Env = []string{"PLUGIN_CLIENT_CERT=x"} },
		"the Env sets TN_COOKIE":                  func(c *host.Config) { c.Env = []string{"TN_COOKIE=x"} },
		"TLS and InsecurePlaintext":               func(c *host.Config) { c.TLS, c.InsecurePlaintext = &tls.Config{}, true },
		"Server.TLS must be nil":                  func(c *host.Config) { c.Server.TLS = &tls.Config{} },
		"Client.TLS and Client.Dial":              func(c *host.Config) { c.Client.TLS = &tls.Config{} },
		"unknown Curve 7":                         func(c *host.Config) { c.Curve = 7 },
		"Sockets.MinPort 9 and MaxPort 8 are not": func(c *host.Config) { c.Sockets.MinPort, c.Sockets.MaxPort = 9, 8 },
		"Sockets.MinPort 0 and MaxPort 8 are not": func(c *host.Config) { c.Sockets.MaxPort = 8 },
		"MaxPort 65536 are not a range":           func(c *host.Config) { c.Sockets.MinPort, c.Sockets.MaxPort = 1, 65536 },
		"Sockets.Group":                           func(c *host.Config) { c.Sockets.Group = "no-such-group" },
		"Output.Buffer must not be negative":      func(c *host.Config) { c.Output.Buffer = -1 },
		"must not be negative":                    func(c *host.Config) { c.StopTimeout = -1 },
		"Client.TLS and Client.Dial must ":        func(c *host.Config) { c.Client.Dial = func(context.Context) (net.Conn, error) { return nil, nil } },
	} {
		cfg := fakeConfig(t, "silent")
		change(cfg)
		start := failing(t, cfg)
		if start.Stage != host.StageConfig || !strings.Contains(start.Error(), want) {
			t.Errorf("stage %q, error %q; want one about %q", start.Stage, start, want)
		}
	}
	if _, err := host.Start(t.Context(), nil); err == nil {
		t.Error("a nil Config was accepted")
	}
}

func TestStartWithAnEndedContextStartsNothing(t *testing.T) {
	noLeaks(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := host.Start(ctx, fakeConfig(t, "silent"))
	var start *host.StartError
	if !errors.As(err, &start) || start.PID != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestStartTimeoutIsADeadline(t *testing.T) {
	noLeaks(t)
	cfg := fakeConfig(t, "silent")
	cfg.StartTimeout = short
	if start := failing(t, cfg); !errors.Is(start, context.DeadlineExceeded) {
		t.Errorf("errors.Is does not find context.DeadlineExceeded in %v", start)
	}
}

// A plugin finds its stdin and its extra files as descriptors, not copies.
func TestFilesArePassedAsDescriptors(t *testing.T) {
	notOnWindows(t, "Cmd.ExtraFiles is not supported, and /proc would have to tell")
	noLeaks(t)
	dir := t.TempDir()
	open := func(name string) *os.File {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	in, extra := open("in"), open("extra")
	cfg := fakeConfig(t, "names-its-files")
	cfg.Cmd.Stdin = in
	cfg.Cmd.ExtraFiles = []*os.File{extra}
	cfg.Cmd.Args = []string{"called like this", "an argument"}
	cfg.Cmd.Dir = dir
	want := strings.Join([]string{in.Name(), extra.Name(), "called like this,an argument", dir}, "\n")
	if got := string(failing(t, cfg).Stderr); got != want {
		t.Errorf("the plugin found\n%s\nwant\n%s", got, want)
	}
}

// Without Cmd.Stdin the plugin has the host's own, so that it can ask its user.
func TestStdinIsTheHosts(t *testing.T) {
	notOnWindows(t, "/proc tells what is open, and Windows has none")
	noLeaks(t)
	f, err := os.Create(filepath.Join(t.TempDir(), "terminal"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	own := os.Stdin
	os.Stdin = f
	defer func() { os.Stdin = own }()
	cfg := fakeConfig(t, "names-its-files")
	cfg.Cmd.Stdin = nil
	if got, _, _ := strings.Cut(string(failing(t, cfg).Stderr), "\n"); got != f.Name() {
		t.Errorf("the plugin's stdin is %q, want %q", got, f.Name())
	}
}
