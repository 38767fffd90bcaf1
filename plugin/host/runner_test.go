package host_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
)

// runner is a Runner that starts a child process.
type runner struct {
	command  func(launch *host.Launch) *exec.Cmd
	signals  bool   // whether its processes have Signal
	outside  string // where host and plugin see the sockets, if the paths differ
	inside   string
	diagnose string
	fail     error // what Run returns

	mu     sync.Mutex
	killed int
}

func (r *runner) Run(_ context.Context, launch *host.Launch) (host.Process, error) {
	if r.fail != nil {
		return nil, r.fail
	}
	r.outside = launch.SocketDir
	cmd := r.command(launch)
	cmd.Stdin = alive
	cmd.Env = launch.Env
	host.Inherit(cmd, launch.Files)
	// Pipes of its own: those of exec.Cmd are closed by its Wait, whatever was
	// not yet read from them.
	outR, outW, err := os.Pipe()
	must(err)
	errR, errW, err := os.Pipe()
	must(err)
	cmd.Stdout, cmd.Stderr = outW, errW
	err = cmd.Start()
	outW.Close()
	errW.Close()
	if err != nil {
		outR.Close()
		errR.Close()
		return nil, err
	}
	p := &running{runner: r, cmd: cmd, stdout: outR, stderr: errR}
	if r.signals {
		return signalled{p}, nil
	}
	return p, nil
}

// running is a process of a runner's.
type running struct {
	runner         *runner
	cmd            *exec.Cmd
	stdout, stderr io.ReadCloser
}

func (p *running) Name() string               { return "sandboxed" }
func (p *running) ID() string                 { return "box " + strconv.Itoa(p.cmd.Process.Pid) }
func (p *running) Stdout() io.ReadCloser      { return p.stdout }
func (p *running) Stderr() io.ReadCloser      { return p.stderr }
func (p *running) Wait(context.Context) error { return p.cmd.Wait() }

func (p *running) Diagnose(context.Context) string { return p.runner.diagnose }

func (p *running) Kill(context.Context) error {
	p.runner.mu.Lock()
	p.runner.killed++
	p.runner.mu.Unlock()
	return p.cmd.Process.Kill()
}

func (p *running) translate(network, address, from, to string) (string, string, error) {
	if p.runner.inside == "" {
		return network, address, nil
	}
	name, ok := strings.CutPrefix(address, from+"/")
	if !ok || network != "unix" {
		return "", "", fmt.Errorf("%s is not in %s", address, from)
	}
	return network, filepath.Join(to, name), nil
}

func (p *running) PluginToHost(network, address string) (string, string, error) {
	return p.translate(network, address, p.runner.inside, p.runner.outside)
}

func (p *running) HostToPlugin(network, address string) (string, string, error) {
	return p.translate(network, address, p.runner.outside, p.runner.inside)
}

// signalled is a process that can be sent signals.
type signalled struct{ *running }

func (p signalled) Signal(sig os.Signal) error { return p.cmd.Process.Signal(sig) }

// runnerConfig returns a configuration that starts the fake plugin of that name
// with r.
func runnerConfig(t *testing.T, name string, r *runner) *host.Config {
	t.Helper()
	cfg := fakeConfig(t, name)
	path := cfg.Cmd.Path
	cfg.Cmd = nil
	cfg.Runner = r
	if r.command == nil {
		r.command = func(*host.Launch) *exec.Cmd { return exec.Command(path) }
	}
	cfg.Plugins = plugin.Set{"echo": echo{}}
	return cfg
}

// usesBroker makes a call that makes the plugin call back.
func usesBroker(t *testing.T, c *host.Client) {
	t.Helper()
	client, err := host.Dispense[*echoClient](t.Context(), c, "echo")
	if err != nil {
		t.Fatal(err)
	}
	id, err := client.broker.Serve(t.Context(), func(s *h2grpc.Server) error {
		s.RegisterService(&h2grpc.ServiceDesc{ServiceName: "test.Host", Methods: []h2grpc.MethodDesc{
			method("Name", func(context.Context, string) (string, error) { return "the host", nil }),
		}}, nil)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := client.call(t.Context(), callMethod, fmt.Sprint(id)); err != nil || got != "the host" {
		t.Errorf("calling back: %q, %v", got, err)
	}
}

func TestRunner(t *testing.T) {
	noLeaks(t)
	r := new(runner)
	c := start(t, runnerConfig(t, "real", r))
	if c.PID() != 0 {
		t.Errorf("the pid is %d; a Runner's plugin has none", c.PID())
	}
	usesBroker(t, c)
	closes(t, c)
	if want := (host.ExitStatus{Ended: true}); c.ExitStatus() != want || r.killed != 0 {
		t.Errorf("exit status %v, killed %d times", c.ExitStatus(), r.killed)
	}
}

func TestRunnerKills(t *testing.T) {
	for name, tc := range map[string]struct {
		plugin  string
		signals bool
		want    host.ExitStatus
	}{
		"deaf":                    {"no-shutdown-deaf", true, killed},
		"terminated":              {"no-shutdown", true, host.ExitStatus{Ended: true, Code: -1, Signal: "terminated"}},
		"without Signal":          {"no-shutdown", false, killed},
		"ends with a status of 5": {"exits-with-5", false, host.ExitStatus{Ended: true, Code: 5}},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.want.Signal == "terminated" {
				notOnWindows(t, "there is no SIGTERM")
			}
			noLeaks(t)
			cfg := runnerConfig(t, tc.plugin, &runner{signals: tc.signals})
			cfg.StopTimeout = ample
			if name == "deaf" {
				cfg.StopTimeout = short
			}
			c := start(t, cfg)
			err := c.Close()
			if killed := tc.want == killed; errors.Is(err, host.ErrKilled) != killed {
				t.Errorf("Close returned %v", err)
			}
			if c.ExitStatus() != tc.want {
				t.Errorf("exit status %v, want %v", c.ExitStatus(), tc.want)
			}
		})
	}
	t.Run("Kill", func(t *testing.T) {
		noLeaks(t)
		r := new(runner)
		c := start(t, runnerConfig(t, "deaf", r))
		c.Kill()
		c.Kill()
		if r.killed != 1 || !c.ExitStatus().Ended {
			t.Errorf("killed %d times, status %v", r.killed, c.ExitStatus())
		}
	})
}

func TestRunnerErrors(t *testing.T) {
	noLeaks(t)
	cfg := runnerConfig(t, "exits-at-once", &runner{diagnose: "the image was pulled an hour ago"})
	start := failing(t, cfg)
	text := start.Error()
	for _, want := range []string{`"sandboxed" (id "box `, "giving up", "the Runner:", "| the image was pulled"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %s", want, text)
		}
	}
	if want := (host.ExitStatus{Ended: true, Code: 3}); start.ExitStatus != want || start.Diagnosis == "" {
		t.Errorf("got %+v", start)
	}

	broken := errors.New("no such image")
	cfg = runnerConfig(t, "real", &runner{fail: broken})
	if start := failing(t, cfg); start.Stage != host.StageLaunch || !errors.Is(start, broken) {
		t.Errorf("got %v", start)
	}

	cfg = runnerConfig(t, "real", &runner{inside: "/somewhere/else"})
	if start := failing(t, cfg); start.Stage != host.StageCheck || !strings.Contains(start.Error(), "cannot translate") {
		t.Errorf("got %v", start)
	}
	cfg.Cmd = exec.Command("plugin")
	if start := failing(t, cfg); start.Stage != host.StageConfig {
		t.Errorf("got %v", start)
	}
	cfg.Cmd, cfg.ProcessGroup = nil, true
	if start := failing(t, cfg); start.Stage != host.StageConfig {
		t.Errorf("got %v", start)
	}
}

// without skips a test that cannot run here. In .ci/run, which sets CI and where
// everything must run, it fails the test.
func without(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// TestBubblewrap runs a plugin without network and processes of the host's,
// and with the sockets in another place.
func TestBubblewrap(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("bubblewrap is for Linux")
	}
	bwrap, err := exec.LookPath("bwrap")
	if err != nil {
		without(t, "bubblewrap is not installed (Debian's package bubblewrap): %v", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const inside = "/run/sockets"
	args := func(launch *host.Launch) []string {
		return []string{
			"--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc",
			"--tmpfs", os.TempDir(), "--tmpfs", "/run", "--bind", launch.SocketDir, inside,
			"--unshare-all", "--die-with-parent", "--",
		}
	}
	try := exec.Command(bwrap, append(args(&host.Launch{SocketDir: os.TempDir()}), self, "-test.run=^$")...)
	if out, err := try.CombinedOutput(); err != nil {
		without(t, "bubblewrap is installed and does not work: %v\n%s", err, out)
	}
	noLeaks(t)
	r := &runner{inside: inside}
	r.command = func(launch *host.Launch) *exec.Cmd {
		launch.SetSocketDir(inside)
		return exec.Command(bwrap, append(args(launch), self)...)
	}
	c := start(t, runnerConfig(t, "real", r))
	if err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	usesBroker(t, c)
	closes(t, c)
	if want := (host.ExitStatus{Ended: true}); c.ExitStatus() != want || r.killed != 0 {
		t.Errorf("exit status %v, killed %d times", c.ExitStatus(), r.killed)
	}
}

// usesLent calls the server that the plugin offers through the broker: it is a lender.
func usesLent(t *testing.T, c *host.Client) {
	t.Helper()
	var lent words
	if err := c.Conn().Invoke(t.Context(), lenderMethod, new(words), &lent); err != nil {
		t.Fatal(err)
	}
	cc, err := c.Broker().Dial(t.Context(), idIn(t, lent.Service))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	if err := cc.Invoke(t.Context(), echoMethod, &words{Service: "x"}, new(words)); err != nil {
		t.Error(err)
	}
}
