package host_test

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/internal/automtls"
	"github.com/tenonrpc/tenon/plugin/internal/hostwire"
	"github.com/tenonrpc/tenon/plugin/internal/socktest"
	"github.com/tenonrpc/tenon/wire"
)

// fakeConfig returns a configuration that starts this test binary as the fake
// plugin of that name, with AutoMTLS on the fastest curve.
func fakeConfig(t *testing.T, name string) *host.Config {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Stdin = alive
	return &host.Config{
		Handshake: shake,
		Cmd:       cmd,
		Curve:     host.P256,
		Env: []string{
			fakeEnv + "=" + name,
			// A crash report differs by machine except for its first line.
			"GOTRACEBACK=none",
			// The race detector would keep each plugin for a second at its end.
			"GORACE=atexit_sleep_ms=0",
		},
		StartTimeout: time.Minute,
		Logger:       testLogger(t),
	}
}

// linger waits until the tests are over, or the host kills this process.
func linger() {
	io.Copy(io.Discard, os.Stdin)
}

// notOnWindows skips a test on Windows, for the reason why.
func notOnWindows(t *testing.T, why string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip(why)
	}
}

// socketPath returns the path where a well-behaved plugin makes its socket.
func socketPath() string {
	return filepath.Join(cmp.Or(os.Getenv(wire.EnvUnixSocketDir), os.TempDir()), "plugin1")
}

// line returns a handshake line without its newline.
func line(core, app int, network, address, protocol, cert string) string {
	return fmt.Sprintf("%d|%d|%s|%s|%s|%s", core, app, network, address, protocol, cert)
}

// certField returns a certificate as the field of a handshake.
func certField(der []byte) string { return base64.RawStdEncoding.EncodeToString(der) }

// ownCert returns a new certificate as the field of a handshake.
func ownCert() string {
	id, err := automtls.New(automtls.P256)
	must(err)
	return certField(id.DER())
}

// printing returns a fake that prints text unchanged and goes on.
func printing(text func() string) func() {
	return func() {
		os.Stdout.WriteString(text())
		linger()
	}
}

// listen listens at path, or on TCP where there are no unix sockets, and returns the
// address for a handshake.
func listen(path string) (l net.Listener, network, address string) {
	network, address = "unix", path
	if !socktest.HasUnix() {
		network, address = "tcp", "127.0.0.1:0"
	}
	l, err := net.Listen(network, address)
	must(err)
	return l, network, l.Addr().String()
}

// listening is printing, behind a socket that accepts and never answers. cert makes
// the certificate that is announced.
func listening(cert func() string) func() {
	return func() {
		_, network, address := listen(socketPath())
		printing(func() string { return line(1, 1, network, address, "grpc", cert()) + "\n" })()
	}
}

// fakes are the ways in which plugins fail to start.
var fakes = map[string]func(){
	"exits-at-once": func() {
		fmt.Fprintln(os.Stderr, "config.hcl: no such file\ngiving up")
		os.Exit(3)
	},
	"exits-silently": func() { os.Exit(0) },
	"panics-early":   func() { panic("boom") },
	"cookie-refused": func() {
		fmt.Fprintln(os.Stderr, "This is a plugin; the magic cookie is not set.\nStart the program that uses it.")
		os.Exit(1)
	},
	"killed-by-signal": func() {
		self, _ := os.FindProcess(os.Getpid())
		self.Kill()
		linger()
	},
	"closes-stdout": func() {
		os.Stdout.Close()
		linger()
	},
	"prints-environment": func() {
		os.Stderr.WriteString(strings.Join(os.Environ(), "\x00"))
		os.Exit(1)
	},
	"names-its-files": func() {
		// /proc leads to what is open; elsewhere the tests that ask are skipped.
		in, _ := os.Readlink("/proc/self/fd/0")
		extra, _ := os.Readlink("/proc/self/fd/3")
		dir, _ := os.Getwd()
		os.Stderr.WriteString(strings.Join([]string{in, extra, strings.Join(os.Args, ","), dir}, "\n"))
		os.Exit(1)
	},
	"reads-its-files": func() {
		var n int
		fmt.Sscan(os.Getenv("TN_FILES"), &n)
		os.Stderr.WriteString("read ")
		for i := range n {
			io.Copy(os.Stderr, os.NewFile(uintptr(3+i), "inherited"))
		}
		os.Exit(1)
	},
	"prints-much": func() {
		os.Stdout.WriteString("noise\n" + strings.Repeat("o", 1<<20) + "end of stdout")
		os.Stderr.WriteString(strings.Repeat("e", 1<<20) + "end of stderr")
		linger()
	},
	"logs": func() {
		os.Stderr.WriteString(os.Getenv("TN_LOG"))
		os.Exit(1)
	},
	// A child that holds both pipes outlives the plugin.
	"leaves-a-child": func() {
		self, _ := os.Executable()
		child := exec.Command(self)
		child.Env = []string{fakeEnv + "=silent"}
		child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
		must(child.Start())
		os.Exit(4)
	},
	"noise":            printing(func() string { return "Loading plugins…\nready\n" }),
	"terminal-noise":   printing(func() string { return "\x1b[31mred\x1b[0m\n" }),
	"empty-line":       printing(func() string { return "\n" + line(1, 1, "unix", socketPath(), "grpc", "") + "\n" }),
	"unfinished-noise": printing(func() string { return "loading… " + line(1, 1, "unix", socketPath(), "grpc", "") + "\n" }),
	"silent":           printing(func() string { return "" }),
	"unfinished-line":  printing(func() string { return "1|1|unix|" }),
	"unfinished-exit":  func() { os.Stdout.WriteString("1|1|un"); os.Exit(0) },
	"endless-line":     printing(func() string { return strings.Repeat("x", hostwire.MaxHandshakeLine+1) }),
	"core-version":     printing(func() string { return line(2, 1, "unix", socketPath(), "grpc", "") + "\n" }),
	"version-mismatch": printing(func() string { return line(1, 7, "unix", socketPath(), "grpc", "") + "\n" }),
	"unknown-network":  printing(func() string { return line(1, 1, "udp", "127.0.0.1:1", "grpc", "") + "\n" }),
	"unknown-protocol": printing(func() string { return line(1, 1, "unix", socketPath(), "thrift", "") + "\n" }),
	"nobody-listens":   printing(func() string { return line(1, 1, "unix", socketPath(), "grpc", ownCert()) + "\n" }),
	"path-too-long": printing(func() string {
		return line(1, 1, "unix", "/"+strings.Repeat("d", 120)+"/plugin1", "grpc", ownCert()) + "\n"
	}),
	"not-a-socket":        printing(func() string { return line(1, 1, "unix", os.DevNull, "grpc", ownCert()) + "\n" }),
	"netrpc":              printing(func() string { return line(1, 1, "unix", socketPath(), "netrpc", "") + "\n" }),
	"netrpc-old":          printing(func() string { return "1|1|unix|/tmp/p\n" }),
	"no-certificate":      listening(func() string { return "" }),
	"unasked-certificate": listening(ownCert),
	"bad-base64": printing(func() string {
		return line(1, 1, "unix", socketPath(), "grpc", strings.Repeat("!", 80)) + "\n"
	}),
	"bad-der": printing(func() string {
		return line(1, 1, "unix", socketPath(), "grpc", base64.RawStdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 80))) + "\n"
	}),
	"never-answers": listening(ownCert),
	"multiplexing-unknown": printing(func() string {
		return line(1, 1, "unix", socketPath(), "grpc", ownCert()) + "\n"
	}),
	"multiplexing-refused": printing(func() string {
		return line(1, 1, "unix", socketPath(), "grpc", ownCert()) + "|false\n"
	}),
	"multiplexing-unclear": printing(func() string {
		return line(1, 1, "unix", socketPath(), "grpc", ownCert()) + "|maybe\n"
	}),
	"multiplexing-not-spoken": func() {
		l, network, address := listen(socketPath())
		fmt.Println(line(1, 1, network, address, "grpc", ownCert()) + "|true")
		conn, err := l.Accept()
		must(err)
		conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n"))
		linger()
	},
	"hangs-up": func() {
		l, network, address := listen(socketPath())
		fmt.Println(line(1, 1, network, address, "grpc", ownCert()))
		for {
			conn, err := l.Accept()
			must(err)
			conn.Close()
		}
	},
	"speaks-plaintext": func() {
		l, network, address := listen(socketPath())
		fmt.Println(line(1, 1, network, address, "grpc", ownCert()))
		conn, err := l.Accept()
		must(err)
		conn.Write([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00")) // empty SETTINGS
		linger()
	},
	"other-certificate": func() {
		l, network, address := listen(socketPath())
		fmt.Println(line(1, 1, network, address, "grpc", ownCert()))
		other, err := automtls.New(automtls.P256)
		must(err)
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{other.Certificate()}, NextProtos: []string{"h2"}})
		conn, err := l.Accept()
		must(err)
		io.Copy(io.Discard, conn)
		linger()
	},
	"ends-on-connect": func() {
		l, network, address := listen(socketPath())
		fmt.Println(line(1, 1, network, address, "grpc", ownCert()))
		if _, err := l.Accept(); err == nil {
			panic("no")
		}
	},
}

// playPlugin is what the test binary does as a plugin.
func playPlugin(name string) {
	for _, known := range []map[string]func(){fakes, hostiles, printers} {
		if fake, ok := known[name]; ok {
			fake()
			return
		}
	}
	if config, ok := reals[name]; ok {
		plugin.Serve(config())
		return
	}
	s, ok := servers[name]
	if !ok {
		panic("no fake plugin " + name)
	}
	s.run()
}
