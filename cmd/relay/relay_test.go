package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/gzip"
	"github.com/tenonrpc/tenon/h2grpc/health"
	"github.com/tenonrpc/tenon/h2grpc/reflection"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/wire"
)

// This test binary is also the relay, and the plugin.
const (
	modeVariable = "TN_RELAY_TEST"
	cookie       = "TN_RELAY_COOKIE"
)

var shake = plugin.Handshake{MagicCookieKey: cookie, MagicCookieValue: "yes", ProtocolVersion: 4}

func TestMain(m *testing.M) {
	switch os.Getenv(modeVariable) {
	case "":
		os.Exit(m.Run())
	case "relay":
		os.Setenv(modeVariable, "plugin") // for whom it starts
		flag.CommandLine = flag.NewFlagSet(os.Args[0], flag.ExitOnError)
		main()
	case "plugin":
		plugin.Serve(&plugin.ServeConfig{
			Handshake:  shake,
			Versions:   map[int]plugin.Set{3: {"word": plugin.ServeOnly(register)}, 4: {"word": plugin.ServeOnly(register)}},
			Reflection: reflection.Register,
			Server:     h2grpc.ServerConfig{Compressors: []h2grpc.Compressor{gzip.New()}},
		})
		fmt.Println("the plugin ends")
	}
}

// The plugin's service reports how a request was compressed, and ends the plugin on one
// request.
func register(_ *plugin.Broker, s *h2grpc.Server) error {
	s.RegisterService(&h2grpc.ServiceDesc{ServiceName: "test.Word", Methods: []h2grpc.MethodDesc{{
		MethodName: "Say",
		Handler: func(_ any, ctx context.Context, dec func(any) error, _ h2grpc.UnaryServerInterceptor) (any, error) {
			var m h2grpc.Raw
			if err := dec(&m); err != nil {
				return nil, err
			}
			if string(m) == "die" {
				fmt.Fprintln(os.Stderr, "as it was told to")
				os.Exit(7)
			}
			m = fmt.Appendf(nil, "%s of %d bytes", h2grpc.RequestCompressor(ctx), len(m))
			return &m, nil
		},
	}}}, nil)
	return nil
}

func say(ctx context.Context, cc *h2grpc.ClientConn, word string, opts ...h2grpc.CallOption) (string, error) {
	in, out := h2grpc.Raw(word), h2grpc.Raw(nil)
	err := cc.Invoke(ctx, "/test.Word/Say", &in, &out, opts...)
	return string(out), err
}

// output collects what is written by several goroutines.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// start starts the relay before the plugin.
func start(t *testing.T, change func(*host.Config)) (c *host.Client, out *output, err error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out = new(output)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	config := &host.Config{
		Handshake: shake,
		Versions:  map[int]plugin.Set{2: nil, 3: nil},
		Cmd:       exec.Command(self, "-cookie", cookie, self),
		Env:       []string{modeVariable + "=relay"},
		Output:    host.Output{Stdout: out},
		Logger:    slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Client:    h2grpc.ClientConfig{Compressors: []h2grpc.Compressor{gzip.New()}},
	}
	if change != nil {
		change(config)
	}
	c, err = host.Start(ctx, config)
	if err == nil {
		t.Cleanup(func() { c.Close() })
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the output:\n%s", out)
		}
	})
	return c, out, err
}

// TestPassesAll checks the agreed version, compressed calls, health, reflection and the
// plugin's last output.
func TestPassesAll(t *testing.T) { testPassesAll(t, nil) }

// TestPassesAllWithoutPipes is for hosts that receive a plugin's output only over the
// connection, as those of other libraries do.
func TestPassesAllWithoutPipes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are none on Windows")
	}
	testPassesAll(t, func(c *host.Config) {
		command := []string{"-c", "unset " + wire.EnvStdout + " " + wire.EnvStderr + `; exec "$0" "$@"`}
		c.Cmd = exec.Command("/bin/sh", append(command, c.Cmd.Args...)...)
	})
}

func testPassesAll(t *testing.T, change func(*host.Config)) {
	c, out, err := start(t, change)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if c.Version() != 3 {
		t.Errorf("the version is %d, want 3, the highest of all three", c.Version())
	}
	for _, compressor := range []string{"", "gzip"} {
		got, err := say(ctx, c.Conn(), strings.Repeat("x", 10_000), h2grpc.UseCompressor(compressor))
		if want := compressor + " of 10000 bytes"; err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	if st, err := health.Check(ctx, c.Conn(), "plugin"); err != nil || st != health.Serving {
		t.Errorf("health: %v, %v", st, err)
	}
	watch, err := c.Conn().NewStream(ctx, &h2grpc.StreamDesc{ServerStreams: true}, "/grpc.health.v1.Health/Watch")
	if err != nil {
		t.Fatal(err)
	}
	request, first := h2grpc.Raw("\x0a\x06plugin"), h2grpc.Raw(nil) // service: "plugin"; status: SERVING
	if err := errors.Join(watch.SendMsg(&request), watch.CloseSend(), watch.RecvMsg(&first)); err != nil || string(first) != "\x08\x01" {
		t.Errorf("health is watched: %q, %v", first, err)
	}
	if got, err := services(ctx, c.Conn()); err != nil || !strings.Contains(got, "test.Word") {
		t.Errorf("reflection lists %q, %v", got, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(out.String(), "the plugin ends\n") {
		t.Error("what the plugin has printed last is lost")
	}
}

// services asks reflection for the names of the services, which the answer has as plain
// text.
func services(ctx context.Context, cc *h2grpc.ClientConn) (string, error) {
	stream, err := cc.NewStream(ctx, &h2grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
	if err != nil {
		return "", err
	}
	request, answer := h2grpc.Raw("\x3a\x01*"), h2grpc.Raw(nil) // list_services
	err = errors.Join(stream.SendMsg(&request), stream.CloseSend(), stream.RecvMsg(&answer))
	if err == nil && stream.RecvMsg(new(h2grpc.Raw)) != io.EOF {
		err = errors.New("it does not end")
	}
	return string(answer), err
}

// TestPluginDies checks that the relay ends too, and reports how the plugin did.
func TestPluginDies(t *testing.T) {
	c, out, err := start(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := say(t.Context(), c.Conn(), "die"); err == nil {
		t.Error("the call succeeds")
	}
	<-c.Done()
	var end *host.ExitError
	if !errors.As(c.Err(), &end) || !strings.Contains(out.String(), "exit status 7") {
		t.Errorf("the relay ends with %v", c.Err())
	}
}

// TestCannotRelay checks that the reason is on stderr, where hosts show it.
func TestCannotRelay(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*host.Config)
		want   string
	}{
		"no program":            {func(c *host.Config) { c.Cmd.Args = c.Cmd.Args[:3] }, "usage: relay -cookie NAME PROGRAM"},
		"another cookie":        {func(c *host.Config) { c.Cmd.Args[2] = "TN_OTHER" }, "TN_OTHER is not set"},
		"a program not there":   {func(c *host.Config) { c.Cmd.Args[3] = "/not/there" }, "/not/there"},
		"versions of no plugin": {func(c *host.Config) { c.Versions = map[int]plugin.Set{9: nil} }, "version"},
	} {
		t.Run(name, func(t *testing.T) {
			_, out, err := start(t, c.change)
			if err == nil {
				t.Fatal("it starts")
			}
			if !strings.Contains(err.Error()+out.String(), c.want) {
				t.Errorf("nothing says %q:\n%v", c.want, err)
			}
		})
	}
}
