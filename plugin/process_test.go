//go:build unix

package plugin_test

import (
	"bufio"
	"errors"
	"io"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin/internal/control"
	"github.com/tenonrpc/tenon/wire"
)

func TestProcessCookie(t *testing.T) {
	c := launch(t, "plugin")
	stdout, err := io.ReadAll(c.stdout)
	if err != nil || len(stdout) != 0 {
		t.Errorf("stdout: %q, %v", stdout, err)
	}
	c.wantEnd(1)
	const text = "This program is a plugin. The program that it belongs to starts it and talks\nto it; started by hand it does nothing. Please run that program instead.\n"
	if c.stderr != text {
		t.Errorf("stderr: %q", c.stderr)
	}
}

func TestProcessRefusal(t *testing.T) {
	c := launch(t, "plugin", cookie, wire.EnvMaxPort+"=65536")
	c.wantEnd(1)
	if !strings.HasPrefix(c.stderr, "plugin: ") || !strings.Contains(c.stderr, wire.EnvMaxPort) || strings.Count(c.stderr, "\n") != 1 {
		t.Errorf("stderr: %q", c.stderr)
	}
}

// TestProcessFailing has a plugin that prints and then fails, before there is a host to
// receive the output.
func TestProcessFailing(t *testing.T) {
	c := launch(t, "failing", cookie)
	stdout, err := io.ReadAll(c.stdout)
	if err != nil || len(stdout) != 0 {
		t.Errorf("stdout: %q, %v: noise before the handshake", stdout, err)
	}
	c.wantEnd(1)
	for _, want := range []string{"reading the settings\n", "line 3: no such key\n", `registering "kv" of protocol version 1: bad settings`} {
		if !strings.Contains(c.stderr, want) {
			t.Errorf("stderr lacks %q: %q", want, c.stderr)
		}
	}
}

func TestProcessSignals(t *testing.T) {
	c := start(t, "plugin")
	// The interrupt is delivered first: it has the lower number.
	c.signal(syscall.SIGINT)
	c.signal(syscall.SIGTERM)
	c.wantEnd(0)
}

// TestProcessHurried sends SIGTERM, as a host does that has missed the answer to
// Shutdown. It ends the calls in progress, and the plugin ends properly.
func TestProcessHurried(t *testing.T) {
	c := start(t, "plugin")
	hung := make(chan error, 1)
	go func() {
		_, err := echo(deadline(t), c.cc, "hang")
		hung <- err
	}()
	if line, err := bufio.NewReader(c.stderrR).ReadString('\n'); line != "hanging\n" {
		t.Fatalf("the call has not begun: %q, %v", line, err)
	}
	c.shutdown()
	c.signal(syscall.SIGTERM)
	if err := <-hung; err == nil {
		t.Error("the call in progress was answered")
	}
	c.wantEnd(0)
}

func TestProcessReturnsToMain(t *testing.T) {
	c := start(t, "cleanup")
	c.shutdown()
	c.wantEnd(7)
	c = start(t, "cleanup")
	c.signal(syscall.SIGTERM)
	c.wantEnd(7)
}

func TestProcessServesOnce(t *testing.T) {
	c := start(t, "twice")
	c.shutdown()
	c.wantEnd(1)
	if !strings.Contains(c.stderr, "a process can serve its host once") {
		t.Errorf("stderr: %q", c.stderr)
	}
}

func TestProcessEnvironment(t *testing.T) {
	c := start(t, "plugin", wire.EnvMultiplex+"=false", wire.EnvMinPort+"=1", wire.EnvMaxPort+"=2", wire.EnvLifeline+"=3:4:5")
	environ := c.tell("environ")
	for entry := range strings.SplitSeq(environ, "\n") {
		if strings.HasPrefix(entry, "PLUGIN_") || strings.HasPrefix(entry, "TENON_") {
			t.Errorf("children of the plugin inherit %s", entry)
		}
	}
	if !strings.Contains(environ, cookie) {
		t.Error("the application's cookie was removed")
	}
	c.shutdown()
	c.wantEnd(0)
}

// collect reads the plugin's output until it ends.
func collect(t *testing.T, stream h2grpc.ServerStreamingClient[wire.StdioData]) (stdout, stderr string) {
	t.Helper()
	var out, err strings.Builder
	for {
		data, recvErr := stream.Recv()
		if recvErr == io.EOF {
			return out.String(), err.String()
		}
		if recvErr != nil {
			t.Fatalf("the output ends with %v", recvErr)
		}
		switch data.Channel {
		case wire.ChannelStdout:
			out.Write(data.Data)
		case wire.ChannelStderr:
			err.Write(data.Data)
		default:
			t.Errorf("channel %v", data.Channel)
		}
	}
}

func TestProcessOutput(t *testing.T) {
	c := start(t, "plugin")
	c.tell("print before the host listens\n")
	stream, err := control.StreamStdio(deadline(t), c.cc)
	if err != nil {
		t.Fatal(err)
	}
	big := strings.Repeat("0123456789abcdef", 20<<10)
	c.tell("eprint an error\n")
	c.tell("print " + big)
	c.tell("eprint the last words")
	c.shutdown()
	stdout, stderr := collect(t, stream)
	if want := "before the host listens\n" + big; stdout != want {
		t.Errorf("stdout has %d bytes, want %d", len(stdout), len(want))
	}
	if want := "an error\nthe last words"; stderr != want {
		t.Errorf("stderr is %q, want %q", stderr, want)
	}
	c.wantEnd(0)
	if c.stderr != "" {
		t.Errorf("real stderr: %q", c.stderr)
	}
}

// TestProcessNobodyReads prints far more than the buffers hold.
func TestProcessNobodyReads(t *testing.T) {
	c := start(t, "plugin")
	c.tell("flood 8388608")
	c.tell("print and on it goes\n")
	c.shutdown()
	c.wantEnd(0)
	if !strings.Contains(c.stderr, "some output is lost") || !strings.Contains(c.stderr, `"bytes":73`) {
		t.Errorf("stderr does not count about 7 MiB: %q", c.stderr)
	}
}

// TestProcessOutputInherited has a child of the plugin that keeps the pipes
// open for longer than the plugin lives.
func TestProcessOutputInherited(t *testing.T) {
	c := start(t, "plugin")
	stream, err := control.StreamStdio(deadline(t), c.cc)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(c.tell("spawn"))
	if err != nil {
		t.Fatal(err)
	}
	c.tell("print last words\n")
	c.shutdown()
	if stdout, _ := collect(t, stream); stdout != "last words\n" {
		t.Errorf("stdout is %q", stdout)
	}
	c.wantEnd(0)
	// The plugin's end has closed the child's stdin, which ends it; make sure.
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Error(err)
	}
}

// TestProcessBrokenStderr closes the reader of the real stderr, as the end of a host
// does. While the host is connected, that alone ends no plugin.
func TestProcessBrokenStderr(t *testing.T) {
	for _, mode := range []string{"outlive", "plugin"} {
		c := start(t, mode)
		c.stderrR.Close()
		if answer := c.tell("write-real-stderr hello\n"); !strings.Contains(answer, "broken pipe") {
			t.Errorf("%s: writing to a stderr without a reader: %q", mode, answer)
		}
		c.shutdown()
		c.wantEnd(0)
	}
}
