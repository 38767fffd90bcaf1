package host_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/plugin/host"
)

// farewell is how soon a plugin must have ended after its host. On a busy machine a
// single one may be late; half of them may not.
const farewell = 2 * time.Second

// The descriptors of a host under test, besides its standard streams.
const (
	heldFD   = 3 // inherited by the plugin, so that its end can be detected
	reportFD = 4 // takes a line when the host is where it should be
)

// hosts are the hosts that are not killed, by name.
var hosts = map[string]func(){}

// hostEnv names the host that the test binary plays.
const (
	hostEnv    = "TN_HOST"
	wrapperEnv = "TN_WRAPPER"
	muxEnv     = "TN_MULTIPLEX"
)

// hostStage is a point at which hosts are killed.
type hostStage struct {
	plugin string // the fake that the host has
	waits  bool   // it takes the plugin a second or so to be gone, in which it does nothing
	moment bool   // the host is killed at any moment from its start on
	// run goes on until then, and calls at.
	run func(cfg *host.Config, at func())
}

var stages = map[string]hostStage{
	"at any moment": {plugin: "real-stages", moment: true, run: func(cfg *host.Config, _ func()) {
		host.Start(context.Background(), cfg)
	}},
	"before handshake": {plugin: "real-stuck", waits: true, run: func(cfg *host.Config, at func()) {
		cfg.Logger = when("registering", at)
		host.Start(context.Background(), cfg)
	}},
	"after handshake": {plugin: "real-mute", waits: true, run: func(cfg *host.Config, at func()) {
		cfg.TLS = &tls.Config{InsecureSkipVerify: true}
		cfg.Logger = when("accepted", at)
		host.Start(context.Background(), cfg)
	}},
	"connected": {plugin: "real-stages", run: func(cfg *host.Config, at func()) {
		_, err := host.Start(context.Background(), cfg)
		must(err)
		at()
	}},
	"in a call": {plugin: "real-stages", run: func(cfg *host.Config, at func()) {
		cfg.Logger = when("called", at)
		call(cfg, stagesCall)
	}},
	"in a stream": {plugin: "real-stages", run: func(cfg *host.Config, at func()) {
		c, err := host.Start(context.Background(), cfg)
		must(err)
		_, err = openStream(context.Background(), c)
		must(err)
		at()
	}},
	"in broker dials": {plugin: "real-stages", run: func(cfg *host.Config, at func()) {
		var both sync.WaitGroup
		both.Add(2)
		cfg.Logger = when("dialling", both.Done)
		c, err := host.Start(context.Background(), cfg)
		must(err)
		go func() { both.Done(); c.Broker().Dial(context.Background(), unannounced) }()
		go c.Conn().Invoke(context.Background(), stagesDial, new(words), new(words))
		both.Wait()
		at()
	}},
	"in a shutdown that waits for a call": {plugin: "real-stages", waits: true, run: func(cfg *host.Config, at func()) {
		called := make(chan struct{})
		cfg.Logger = slog.New(both{&onMessage{text: "called", do: func() { close(called) }}, &onMessage{text: "draining", do: at}})
		cfg.StopTimeout = time.Hour
		c, err := host.Start(context.Background(), cfg)
		must(err)
		go c.Conn().Invoke(context.Background(), stagesDrain, new(words), new(words))
		<-called
		c.Close()
	}},
	"in a shutdown that waits for main": {plugin: "slow-main", waits: true, run: func(cfg *host.Config, at func()) {
		cfg.Logger = when("ending", at)
		cfg.StopTimeout = time.Hour
		c, err := host.Start(context.Background(), cfg)
		must(err)
		c.Close()
	}},
}

func call(cfg *host.Config, method string) {
	c, err := host.Start(context.Background(), cfg)
	must(err)
	c.Conn().Invoke(context.Background(), method, new(words), new(words))
}

// stoppers are hosts whose plugin is stopped: see TestHostsOfStoppedPlugins.
var stoppers = map[string]hostStage{}

// when returns a logger that calls do for one message.
func when(text string, do func()) *slog.Logger {
	return slog.New(&onMessage{text: text, do: do})
}

// both passes records to two handlers.
type both [2]*onMessage

func (b both) Enabled(context.Context, slog.Level) bool { return true }
func (b both) WithAttrs([]slog.Attr) slog.Handler       { return b }
func (b both) WithGroup(string) slog.Handler            { return b }
func (b both) Handle(ctx context.Context, r slog.Record) error {
	b[0].Handle(ctx, r)
	return b[1].Handle(ctx, r)
}

// playHost is what the test binary does as a host, until it is killed.
func playHost(name string) {
	if play, ok := hosts[name]; ok {
		play()
		return
	}
	if leave, ok := detachers[name]; ok {
		playDetacher(leave)
		return
	}
	stage, ok := stages[name]
	if !ok {
		stage = stoppers[name]
	}
	self, err := os.Executable()
	must(err)
	cmd := exec.Command(self)
	if wrapper := os.Getenv(wrapperEnv); wrapper != "" {
		cmd = exec.Command("/bin/sh", "-c", wrapper, self)
	}
	held := os.NewFile(heldFD, "held")
	report := os.NewFile(reportFD, "report")
	cmd.ExtraFiles = []*os.File{held}
	at := func() {
		held.Close() // what holds it now is the plugin's
		fmt.Fprintln(report, "there")
	}
	if stage.moment {
		fmt.Fprintln(report, "there")
	}
	stage.run(&host.Config{
		Handshake: shake,
		Cmd:       cmd,
		Curve:     host.P256,
		Multiplex: os.Getenv(muxEnv) != "",
		Env:       []string{fakeEnv + "=" + stage.plugin, "GORACE=atexit_sleep_ms=0"},
		Logger:    slog.New(slog.DiscardHandler),
	}, at)
	linger()
}

func TestPluginsDoNotOutliveTheirHost(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("hosts under test are told what to do by descriptors; TestPluginsEndWithTheirHost is for here")
	}
	for _, how := range []struct {
		label, wrapper string
		multiplex      bool
		share          int // of the kills
	}{
		{"", "", false, 1},
		{" multiplexed", "", true, 1},
		{" under a shell", `"$0"; true`, false, 10},
	} {
		for name, stage := range stages {
			t.Run(name+how.label, func(t *testing.T) {
				noLeaks(t)
				n := max(repetitions(t, *kills)/how.share, 1)
				workers := 2 * runtime.GOMAXPROCS(0)
				if stage.waits {
					workers = n
				}
				took := make([]time.Duration, n)
				inParallel(n, workers, func(i int) { took[i] = killHost(t, name, how.wrapper, how.multiplex) })
				slices.Sort(took)
				if took[n/2] > farewell && n >= 10 {
					t.Errorf("half of the plugins live longer than %v after their hosts, %v", farewell, took[n/2])
				}
				t.Logf("killed %d hosts; the plugins were gone after %v, at most %v", n, took[n/2], took[n-1])
			})
		}
	}
}

// starting is longer than a start takes on a quiet machine.
const starting = 40 * time.Millisecond

// victimHost is a host that is to be killed.
type victimHost struct {
	cmd  *exec.Cmd
	dir  string   // its temporary files, and its plugin's
	dead string   // what another host has left there
	held *os.File // ends when the plugin has ended, and the host has come to its stage
}

// startVictim starts a host, whose command change may modify, and returns when it has
// reached its stage, with what it prints there.
func startVictim(stage, wrapper string, multiplex bool, change func(*exec.Cmd)) (h *victimHost, line string, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		return nil, "", err
	}
	h = &victimHost{dir: dir, dead: filepath.Join(dir, "tenon-dead")}
	if err := errors.Join(os.Mkdir(h.dead, 0o700), os.Chmod(h.dead, 0o700|os.ModeSticky), os.WriteFile(filepath.Join(h.dead, "plugin"), nil, 0o600)); err != nil {
		return h, "", err
	}
	heldR, heldW, err := os.Pipe()
	if err != nil {
		return h, "", err
	}
	h.held = heldR
	defer heldW.Close()
	reportR, reportW, err := os.Pipe()
	if err != nil {
		return h, "", err
	}
	defer reportR.Close()
	defer reportW.Close()
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), hostEnv+"="+stage, wrapperEnv+"="+wrapper, "TMPDIR="+dir)
	if multiplex {
		cmd.Env = append(cmd.Env, muxEnv+"=1")
	}
	cmd.Stdin = alive
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{heldW, reportW}
	if change != nil {
		change(cmd)
	}
	if err := cmd.Start(); err != nil {
		return h, "", err
	}
	h.cmd = cmd
	heldW.Close()
	reportW.Close()
	reportR.SetReadDeadline(time.Now().Add(ample))
	line, err = bufio.NewReader(reportR).ReadString('\n')
	return h, line, err
}

// kill kills the host.
func (h *victimHost) kill() {
	h.cmd.Process.Kill()
	h.cmd.Wait()
}

// awaitPlugin waits until the plugin has ended.
func (h *victimHost) awaitPlugin() error {
	h.held.SetReadDeadline(time.Now().Add(ample))
	if _, err := h.held.Read(make([]byte, 1)); err != io.EOF {
		return fmt.Errorf("the plugin lives %v after its host: %v", ample, err)
	}
	return nil
}

// sweep plays the next host, which finds what this one has left.
func (h *victimHost) sweep() error {
	host.Sweep(h.dir)
	left, err := os.ReadDir(h.dir)
	if err == nil && len(left) != 0 {
		err = fmt.Errorf("left after the sweep: %v", left)
	}
	return err
}

func (h *victimHost) free() {
	if h == nil {
		return
	}
	if h.cmd != nil {
		h.kill()
	}
	if h.held != nil {
		h.held.Close()
	}
	os.RemoveAll(h.dir)
}

// killHost starts a host, kills it at a stage and requires that nothing is left of its
// plugin. It returns how long the plugin lived on.
func killHost(t *testing.T, stage, wrapper string, multiplex bool) time.Duration {
	h, line, err := startVictim(stage, wrapper, multiplex, nil)
	defer h.free()
	if line != "there\n" {
		t.Errorf("the host reports %q, %v", line, err)
		return 0
	}
	if stage == "connected" && exists(h.dead) {
		t.Error("a start has not swept what a dead host has left")
	}
	if stages[stage].moment {
		<-time.NewTimer(rand.N(starting)).C
	}
	begun := time.Now()
	h.kill()
	if err := h.awaitPlugin(); err != nil {
		t.Error(err)
	}
	took := time.Since(begun)
	if sockets, _ := filepath.Glob(filepath.Join(h.dir, "tenon-*", "p", "plugin*")); len(sockets) != 0 {
		t.Errorf("the plugin left %s", strings.Join(sockets, ", "))
	}
	if err := h.sweep(); err != nil {
		t.Error(err)
	}
	return took
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}
