package retry_test

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/internal/automtls"
	"github.com/tenonrpc/tenon/testdata/examples/kvmain"
	"github.com/tenonrpc/tenon/testdata/examples/kvshared"
)

// fakeEnv names the fake plugin that this test binary plays when it finds the variable
// set. countEnv is the path of a file that takes a byte for each time that a plugin was
// launched, and failsEnv how often it fails before it works.
const (
	fakeEnv  = "TN_RETRY_FAKE"
	countEnv = "TN_RETRY_COUNT"
	failsEnv = "TN_RETRY_FAILS"
)

// alive is the stdin of all plugins, which end when it does.
var alive *os.File

func TestMain(m *testing.M) {
	if name := os.Getenv(fakeEnv); name != "" {
		fakes[name]()
		return
	}
	var keep *os.File
	var err error
	alive, keep, err = os.Pipe()
	must(err)
	code := kvmain.Run(m)
	keep.Close()
	os.Exit(code)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// fakeConfig returns a configuration that starts this test binary as the fake of that
// name, with further variables.
func fakeConfig(t *testing.T, name string, env ...string) *host.Config {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Stdin = alive
	return &host.Config{
		Handshake: kvshared.Handshake,
		Cmd:       cmd,
		Curve:     host.P256,
		Env:       append([]string{fakeEnv + "=" + name, "GORACE=atexit_sleep_ms=0"}, env...),
		Logger:    slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

// linger waits until the tests are over, or the host kills this process.
func linger() { io.Copy(io.Discard, os.Stdin) }

// printing returns a fake that prints text and goes on.
func printing(text string) func() {
	return func() {
		os.Stdout.WriteString(text)
		linger()
	}
}

// announce prints a handshake, and returns the listener that it leads to.
func announce() net.Listener {
	l := listen()
	fmt.Println(line(l.Addr()))
	return l
}

func listen() net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	return l
}

// line returns a handshake with a certificate that nobody has.
func line(addr net.Addr) string {
	return fmt.Sprintf("1|1|tcp|%s|grpc|%s", addr, base64.RawStdEncoding.EncodeToString(identity().DER()))
}

func identity() *automtls.Identity {
	id, err := automtls.New(automtls.P256)
	must(err)
	return id
}

// accepting returns a fake that treats each connection in this way.
func accepting(do func(net.Conn)) func() {
	return func() {
		for l := announce(); ; {
			conn, err := l.Accept()
			must(err)
			do(conn)
		}
	}
}

// serve is a plugin that works.
func serve() {
	plugin.Serve(&plugin.ServeConfig{Handshake: kvshared.Handshake, Plugins: plugin.Set{"kv": kvshared.Plugin{}}})
}

var fakes = map[string]func(){
	"works": serve,
	// It fails the first times that it is launched.
	"recovers": func() {
		count, err := os.OpenFile(os.Getenv(countEnv), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		must(err)
		_, err = count.WriteString(".")
		must(err)
		info, err := count.Stat()
		must(err)
		must(count.Close())
		var fails int64
		fmt.Sscan(os.Getenv(failsEnv), &fails)
		if info.Size() <= fails {
			fmt.Fprintln(os.Stderr, "the database is locked")
			os.Exit(3)
		}
		serve()
	},
	"exits":           func() { os.Exit(3) },
	"panics":          func() { panic("boom") },
	"not-found":       func() { os.Exit(127) },
	"unfinished":      func() { os.Stdout.WriteString("1|1|tcp"); os.Exit(0) },
	"noise":           printing("ready\n"),
	"noise-and-exits": func() { os.Stdout.WriteString("kv 1.2\n"); os.Exit(0) },
	"silent":          func() { fmt.Fprintln(os.Stderr, "here"); linger() },
	"closes-stdout":   func() { os.Stdout.Close(); linger() },
	"core-version":    printing("2|1|tcp|127.0.0.1:1|grpc|\n"),
	"no-certificate":  printing("1|1|tcp|127.0.0.1:1|grpc|\n"),
	"killed": func() {
		self, _ := os.FindProcess(os.Getpid())
		self.Kill()
		linger()
	},
	"nobody-listens": func() {
		l := listen()
		must(l.Close())
		printing(line(l.Addr()) + "\n")()
	},
	"never-answers":   accepting(func(net.Conn) {}),
	"hangs-up":        accepting(func(c net.Conn) { c.Close() }),
	"ends-on-connect": accepting(func(net.Conn) { os.Exit(5) }),
	"speaks-plaintext": accepting(func(c net.Conn) {
		c.Write([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00")) // empty SETTINGS
	}),
	"other-certificate": accepting(func(c net.Conn) {
		io.Copy(io.Discard, tls.Server(c, &tls.Config{Certificates: []tls.Certificate{identity().Certificate()}, NextProtos: []string{"h2"}}))
	}),
}

// launches returns how often the plugin of a count file was launched.
func launches(t *testing.T, path string) int {
	t.Helper()
	count, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Count(string(count), ".")
}
