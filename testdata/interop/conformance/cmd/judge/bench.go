package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// suites are the programs of the suites: the name that each gets here, and the
// package that it is installed from.
var suites = map[string]string{
	"connectconformance": "connectrpc.com/conformance/cmd/connectconformance@v1.0.6",
	"h2spec":             "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible",
	"h2specd":            "github.com/summerwind/h2spec/cmd/h2specd@v2.2.1+incompatible",
	"grpc-client":        "google.golang.org/grpc/interop/client@v1.85.0",
	"grpc-server":        "google.golang.org/grpc/interop/server@v1.85.0",
	"grpc-negative":      "google.golang.org/grpc/interop/http2@v1.85.0",
	"grpcurl":            "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4",
}

// own are the programs that the suites test: this module's, and the example
// plugin, with reflection.
var own = []string{"./cmd/...", "github.com/tenonrpc/tenon/cmd/kvplugin"}

const (
	// startTime is how long a server may take until it listens.
	startTime = 10 * time.Second
	// stopTime is how long a process may take to end after SIGTERM.
	stopTime = 2 * time.Second
	// validity is how long the certificate for the tests is valid.
	validity = 24 * time.Hour
)

// bench is where the judges work.
type bench struct {
	bin, logs, cert, key string
}

// newBench builds and installs all programs. What was installed before is not
// installed again.
func newBench(ctx context.Context, dir string) (*bench, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	b := &bench{
		bin:  filepath.Join(dir, "bin"),
		logs: filepath.Join(dir, "logs"),
		cert: filepath.Join(dir, "cert.pem"),
		key:  filepath.Join(dir, "key.pem"),
	}
	for _, d := range []string{b.bin, b.logs} {
		if err := os.MkdirAll(d, 0o777); err != nil {
			return nil, err
		}
	}
	fmt.Println("building the programs under test")
	if err := command(ctx, "", append([]string{"go", "build", "-tags", "reflection", "-o", b.bin + string(filepath.Separator)}, own...)...); err != nil {
		return nil, err
	}
	for name, pkg := range suites {
		if err := b.install(ctx, name, pkg); err != nil {
			return nil, err
		}
	}
	return b, b.certify()
}

// install installs a suite's program under a name of its own. Which version is
// there stands in a file beside it.
func (b *bench) install(ctx context.Context, name, pkg string) error {
	program, mark := filepath.Join(b.bin, name), filepath.Join(b.bin, name+".version")
	if was, err := os.ReadFile(mark); err == nil && string(was) == pkg {
		if _, err := os.Stat(program); err == nil {
			return nil
		}
	}
	fmt.Println("installing", pkg)
	tmp, err := os.MkdirTemp(b.bin, "install")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := command(ctx, "GOBIN="+tmp, "go", "install", pkg); err != nil {
		return err
	}
	made, err := filepath.Glob(filepath.Join(tmp, "*"))
	if err != nil || len(made) != 1 {
		return fmt.Errorf("installing %s made %d files", pkg, len(made))
	}
	if err := os.Rename(made[0], program); err != nil {
		return err
	}
	return os.WriteFile(mark, []byte(pkg), 0o666)
}

// program is the path of a program.
func (b *bench) program(name string) string { return filepath.Join(b.bin, name) }

// certify makes the certificate that the servers under test use.
func (b *bench) certify() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "localhost"},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(validity),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(b.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o666); err != nil {
		return err
	}
	return os.WriteFile(b.key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}), 0o600)
}

// command runs a program whose output matters only if it fails.
func command(ctx context.Context, env string, args ...string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	if env != "" {
		cmd.Env = append(os.Environ(), env)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// log collects what a judge's programs print.
type log struct {
	path string
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) save() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return os.WriteFile(l.path, l.text.Bytes(), 0o666)
}

// output runs a program and returns what it prints on standard output. A
// program that judges has a bad exit status if it finds a fault; what it found is
// for the caller to read in the output.
func (l *log) output(ctx context.Context, args ...string) (out string, code int, err error) {
	fmt.Fprintln(l, "$", strings.Join(args, " "))
	var buf bytes.Buffer
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTime
	cmd.Stdout = &buf
	cmd.Stderr = l
	err = cmd.Run()
	l.Write(buf.Bytes())
	if _, exited := err.(*exec.ExitError); exited && ctx.Err() == nil {
		err = nil
	}
	return buf.String(), cmd.ProcessState.ExitCode(), err
}

// daemon is a server process.
type daemon struct {
	cmd   *exec.Cmd
	ended chan struct{}
	addr  *net.TCPAddr
}

// stop ends the process.
func (d *daemon) stop() {
	d.cmd.Process.Signal(syscall.SIGTERM)
	t := time.AfterFunc(stopTime, func() { d.cmd.Process.Kill() })
	defer t.Stop()
	<-d.ended
}
