package host_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
)

var kills = flag.Int("kills", 2, "how often the host is killed at each stage")

// farewell is the time within which a plugin must be gone after its host.
const farewell = 2 * time.Second

// The descriptors of a host under test, besides its standard streams.
const (
	heldFD   = 3 // handed down to the plugin, so that its end shows
	reportFD = 4 // takes a line when the host is where it should be
)

// hostEnv names what the test binary does as a host.
const (
	hostEnv    = "TN_HOST"
	wrapperEnv = "TN_WRAPPER"
)

// stages are the points at which hosts are killed, each with the plugin that it
// takes. The function goes on until then, and calls at.
var stages = map[string]struct {
	plugin string
	run    func(cfg *host.Config, at func())
}{
	"before handshake": {"real-stuck", func(cfg *host.Config, at func()) {
		cfg.Logger = slog.New(&onMessage{"registering", at})
		host.Start(context.Background(), cfg)
	}},
	"after handshake": {"real-mute", func(cfg *host.Config, at func()) {
		cfg.TLS = &tls.Config{InsecureSkipVerify: true}
		cfg.Logger = slog.New(&onMessage{"accepted", at})
		host.Start(context.Background(), cfg)
	}},
	"connected": {"real-stages", func(cfg *host.Config, at func()) {
		_, err := host.Start(context.Background(), cfg)
		must(err)
		at()
	}},
	"in a call": {"real-stages", func(cfg *host.Config, at func()) {
		cfg.Logger = slog.New(&onMessage{"called", at})
		c, err := host.Start(context.Background(), cfg)
		must(err)
		c.Conn().Invoke(context.Background(), "/test.Stages/Call", new(words), new(words))
	}},
	"in a stream": {"real-stages", func(cfg *host.Config, at func()) {
		c, err := host.Start(context.Background(), cfg)
		must(err)
		s, err := c.Conn().NewStream(context.Background(), &h2grpc.StreamDesc{StreamName: "Stream", ServerStreams: true}, "/test.Stages/Stream")
		must(err)
		must(s.SendMsg(new(words)))
		must(s.CloseSend())
		must(s.RecvMsg(new(words)))
		at()
	}},
}

// onMessage is a log handler that waits for one message.
type onMessage struct {
	text string
	do   func()
}

func (h *onMessage) Enabled(context.Context, slog.Level) bool { return true }
func (h *onMessage) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h *onMessage) WithGroup(string) slog.Handler            { return h }
func (h *onMessage) Handle(_ context.Context, r slog.Record) error {
	if r.Message == h.text {
		h.do()
	}
	return nil
}

// playHost is what the test binary does as a host, until it is killed.
func playHost(name string) {
	if leave, ok := detachers[name]; ok {
		playDetacher(leave)
		return
	}
	stage := stages[name]
	self, err := os.Executable()
	must(err)
	cmd := exec.Command(self)
	if wrapper := os.Getenv(wrapperEnv); wrapper != "" {
		cmd = exec.Command("/bin/sh", "-c", wrapper, self)
	}
	held := os.NewFile(heldFD, "held")
	report := os.NewFile(reportFD, "report")
	cmd.ExtraFiles = []*os.File{held}
	stage.run(&host.Config{
		Handshake: shake,
		Cmd:       cmd,
		Curve:     host.P256,
		Env:       []string{fakeEnv + "=" + stage.plugin, "GORACE=atexit_sleep_ms=0"},
		Logger:    slog.New(slog.DiscardHandler),
	}, func() {
		held.Close() // what holds it now is the plugin's
		fmt.Fprintln(report, "there")
	})
	linger()
}

// stagesPlugin has a call and a stream that do not end.
type stagesPlugin struct{ realStderr *os.File }

func (p stagesPlugin) GRPCServer(_ *plugin.Broker, s *h2grpc.Server) error {
	s.RegisterService(&h2grpc.ServiceDesc{
		ServiceName: "test.Stages",
		Methods: []h2grpc.MethodDesc{method("Call", func(ctx context.Context, _ string) (string, error) {
			fmt.Fprintln(p.realStderr, "called")
			<-ctx.Done()
			return "", ctx.Err()
		})},
		Streams: []h2grpc.StreamDesc{{
			StreamName:    "Stream",
			ServerStreams: true,
			Handler: func(_ any, s h2grpc.ServerStream) error {
				if err := s.SendMsg(new(words)); err != nil {
					return err
				}
				<-s.Context().Done()
				return s.Context().Err()
			},
		}},
	}, p)
	return nil
}

func (stagesPlugin) GRPCClient(context.Context, *plugin.Broker, *h2grpc.ClientConn) (any, error) {
	return nil, errors.ErrUnsupported
}

func TestPluginsDoNotOutliveTheirHost(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no lifeline")
	}
	for _, wrapper := range []string{"", `"$0"; true`} {
		for name := range stages {
			label := name
			if wrapper != "" {
				label += " under a shell"
			}
			t.Run(label, func(t *testing.T) {
				noLeaks(t)
				for range *kills {
					killHost(t, name, wrapper)
				}
			})
		}
	}
}

// killHost starts a host, kills it at a stage and requires that nothing is left
// of its plugin soon.
func killHost(t *testing.T, stage, wrapper string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	heldR, heldW := pipe(t)
	reportR, reportW := pipe(t)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), hostEnv+"="+stage, wrapperEnv+"="+wrapper)
	cmd.Stdin = alive
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{heldW, reportW}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	heldW.Close()
	reportW.Close()
	if line, err := bufio.NewReader(reportR).ReadString('\n'); line != "there\n" {
		t.Errorf("the host reports %q, %v", line, err)
	}
	begun := time.Now()
	cmd.Process.Kill()
	cmd.Wait()
	heldR.SetReadDeadline(begun.Add(farewell))
	if _, err := heldR.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the plugin lives %v after its host: %v", farewell, err)
	}
	dir := os.TempDir()
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type() == fs.ModeSocket {
			t.Errorf("%s is left", path)
		}
		return nil
	})
	// What is left is the host's directory, for the next host to find.
	host.Sweep(dir)
	if left, _ := filepath.Glob(filepath.Join(dir, "tenon-*")); len(left) != 0 {
		t.Errorf("left after the sweep: %s", strings.Join(left, ", "))
	}
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
