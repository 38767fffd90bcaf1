package host_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/internal/automtls"
	"github.com/tenonrpc/tenon/plugin/internal/hostwire"
	"github.com/tenonrpc/tenon/plugin/internal/yamux"
	"github.com/tenonrpc/tenon/wire"
)

// The attacker's environment variables.
const (
	targetsEnv  = "TN_TARGETS"   // sockets, divided by colons
	attacksEnv  = "TN_ATTACKS"   // what to try on each, divided by colons
	hostCertEnv = "TN_HOST_CERT" // the host's certificate, which is public
	earlyEnv    = "TN_EARLY"     // not empty: in sessions with a plugin whose host has not connected yet
)

// attacked is the result of an attack.
type attacked struct {
	Attack, Socket string
	Got            []byte // from the plugin's application or the host's: anything is too much
	Err            string
}

// attackTime bounds one attack: a side that neither answers nor hangs up has refused
// too.
const attackTime = 2 * time.Second

// preface is how a client of gRPC begins: RFC 9113, section 3.4, and empty
// SETTINGS.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"

// yamuxOpen opens a stream of yamux with a window update that has SYN set.
const yamuxOpen = "\x00\x01\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00"

// attacks are what strangers try on a socket.
var attacks = map[string]func(net.Conn) io.ReadWriter{
	"plaintext":             func(c net.Conn) io.ReadWriter { return c },
	"multiplexed plaintext": func(c net.Conn) io.ReadWriter { c.Write([]byte(yamuxOpen)); return c },
	"TLS without a certificate": func(c net.Conn) io.ReadWriter {
		return tls.Client(c, attackTLS())
	},
	"TLS with a certificate of its own": func(c net.Conn) io.ReadWriter {
		own, err := automtls.New(automtls.P521)
		must(err)
		return tls.Client(c, attackTLS(own.Certificate()))
	},
	"TLS with the host's certificate and another key": func(c net.Conn) io.ReadWriter {
		pem := os.Getenv(hostCertEnv)
		if pem == "" { // without TLS there is none
			other, err := automtls.New(automtls.P256)
			must(err)
			pem = other.PEM()
		}
		cert, err := automtls.ParsePEM(pem)
		must(err)
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(err)
		return tls.Client(c, attackTLS(tls.Certificate{Certificate: [][]byte{cert}, PrivateKey: key}))
	},
}

// attackTLS accepts every server, and presents its certificate whatever is asked
// for.
func attackTLS(certs ...tls.Certificate) *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: true,
		NextProtos:         []string{"h2"},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if len(certs) == 0 {
				return new(tls.Certificate), nil
			}
			return &certs[0], nil
		},
	}
}

// playAttacker is what the test binary does as an attacker.
func playAttacker() {
	if os.Getenv(earlyEnv) != "" {
		playEarlyAttacker()
		return
	}
	out := json.NewEncoder(os.Stdout)
	for _, socket := range strings.Split(os.Getenv(targetsEnv), ":") {
		for _, name := range strings.Split(os.Getenv(attacksEnv), ":") {
			got, err := attack(socket, attacks[name])
			must(out.Encode(attacked{name, socket, got, fmt.Sprint(err)}))
		}
	}
}

// attack connects, speaks gRPC, and returns the answer.
func attack(socket string, begin func(net.Conn) io.ReadWriter) (got []byte, err error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(attackTime))
	return talk(begin(conn))
}

// talk speaks gRPC and returns the answer.
func talk(c io.ReadWriter) (got []byte, err error) {
	if _, err := io.WriteString(c, preface); err != nil {
		return nil, err
	}
	got, err = io.ReadAll(c)
	if err == nil {
		err = errors.New("hung up")
	}
	return got, err
}

// leaks reports whether an attack got more than the information that it failed: a TLS
// alert (RFC 8446, section 6), which is not encrypted at that point.
func (a attacked) leaks() bool {
	const alert, alertSize = 0x15, 7
	return len(a.Got) > 0 && (a.Got[0] != alert || len(a.Got) > alertSize)
}

// attackAll makes another process attack the sockets.
func attackAll(t *testing.T, program string, attr *syscall.SysProcAttr, hostCert string, which []string, sockets ...string) []attacked {
	t.Helper()
	cmd := exec.Command(program)
	cmd.Env = []string{fakeEnv + "=attacker", "GORACE=atexit_sleep_ms=0", targetsEnv + "=" + strings.Join(sockets, ":"), hostCertEnv + "=" + hostCert,
		attacksEnv + "=" + strings.Join(which, ":")}
	cmd.SysProcAttr = attr
	cmd.Stderr = t.Output()
	text, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []attacked
	for in := json.NewDecoder(bytes.NewReader(text)); ; {
		var a attacked
		if err := in.Decode(&a); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	if want := len(sockets) * len(which); len(all) != want {
		t.Fatalf("%d attacks were made, not %d", len(all), want)
	}
	return all
}

// environOf returns a variable of another process.
func environOf(t *testing.T, pid int, name string) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		t.Fatal(err)
	}
	for entry := range strings.SplitSeq(string(text), "\x00") {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// copyForAll returns a copy of this program that every user can execute.
func copyForAll(t *testing.T) (program string) {
	t.Helper()
	program = filepath.Join(os.TempDir(), "attacker")
	copyFile(t, program, 0o755)
	return program
}

// openWide lets every user connect to sockets, which are in one directory.
func openWide(sockets ...string) error {
	for _, socket := range sockets {
		dir := filepath.Dir(socket)
		for _, path := range []string{os.TempDir(), filepath.Dir(dir), dir, socket} {
			if err := os.Chmod(path, 0o777); err != nil {
				return err
			}
		}
	}
	return nil
}

// Strangers attack the sockets of a plugin and of its host while these work.
func TestStrangersAreRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		change  func(*host.Config)
		another bool // the attacker is another user, and the sockets are wide open
	}{
		"AutoMTLS":                              {func(*host.Config) {}, false},
		"plaintext":                             {func(c *host.Config) { c.InsecurePlaintext = true }, false},
		"AutoMTLS, another user":                {func(*host.Config) {}, true},
		"plaintext, another user":               {func(c *host.Config) { c.InsecurePlaintext = true }, true},
		"plaintext with Detach, another user":   {func(c *host.Config) { c.InsecurePlaintext, c.Detach = true, true }, true},
		"AutoMTLS, another user of an AllowUID": {func(c *host.Config) { c.Sockets.AllowUIDs = []int{nobody} }, true},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.another && os.Getuid() != 0 {
				t.Skip("only root can start a program as somebody else")
			}
			noLeaks(t)
			cfg := withEcho(t, "lender")
			tc.change(cfg)
			c := start(t, cfg)
			socket := connectedTo(t, c).String()
			dir := filepath.Dir(socket)
			// A brokered socket of each side.
			l, err := c.Broker().Accept(t.Context(), c.Broker().NextID())
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			// Something must accept, or the host's end is silent for another reason.
			served := h2grpc.NewServer(&h2grpc.ServerConfig{})
			done := make(chan error, 1)
			go func() { done <- served.Serve(l) }()
			defer func() { served.Close(); <-done }()
			var lent words
			if err := c.Conn().Invoke(t.Context(), lenderMethod, new(words), &lent); err != nil {
				t.Fatal(err)
			}
			sockets, err := filepath.Glob(filepath.Join(filepath.Dir(dir), "[hp]", "[hp]*"))
			if err != nil || len(sockets) != 3 {
				t.Fatalf("the sockets are %q, %v", sockets, err)
			}
			program, attr := cfg.Cmd.Path, (*syscall.SysProcAttr)(nil)
			if tc.another {
				program, attr = copyForAll(t), asNobody()
				defer os.Chmod(os.TempDir(), 0o700)
				if err := openWide(sockets...); err != nil {
					t.Fatal(err)
				}
			}
			for _, a := range attackAll(t, program, attr, environOf(t, c.PID(), wire.EnvClientCert), slices.Sorted(maps.Keys(attacks)), sockets...) {
				if a.leaks() {
					t.Errorf("%s on %s got %q", a.Attack, filepath.Base(a.Socket), a.Got)
				}
				// Whoever is refused by the peer's credentials gets nothing at all.
				atOnce := cfg.InsecurePlaintext || tc.another && cfg.Sockets.AllowUIDs == nil
				if atOnce && len(a.Got) > 0 {
					t.Errorf("%s on %s was answered %q (%s)", a.Attack, filepath.Base(a.Socket), a.Got, a.Err)
				}
			}
			// The honest are not affected.
			usesBroker(t, c)
			cc, err := c.Broker().Dial(t.Context(), idIn(t, lent.Service))
			if err != nil {
				t.Fatal(err)
			}
			if err := cc.Invoke(t.Context(), echoMethod, new(words), new(words)); err != nil {
				t.Error(err)
			}
			cc.Close()
			closes(t, c)
		})
	}
}

// With multiplexing there is nothing to attack any more once the host has
// connected.
func TestMultiplexedPluginsHaveNoSocketLeft(t *testing.T) {
	noLeaks(t)
	cfg := withEcho(t, "lender")
	cfg.Multiplex = true
	c := start(t, cfg)
	usesBroker(t, c)
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(environOf(t, c.PID(), wire.EnvUnixSocketDir)), "[hp]", "[hp]*")); err != nil || len(left) > 0 {
		t.Errorf("there are the sockets %q, %v", left, err)
	}
	closes(t, c)
}

// Strangers connect to a multiplexing plugin before its host does, and more of
// them stay than the plugin looks at: the host is let in nevertheless, and they
// are hung up on.
func TestStrangersBeforeTheHost(t *testing.T) {
	for name, tc := range map[string]struct {
		plaintext, another bool
		atOnce             bool // they are hung up on before a byte is read
	}{
		"AutoMTLS":                {},
		"plaintext":               {plaintext: true, atOnce: true},
		"AutoMTLS, another user":  {another: true, atOnce: true},
		"plaintext, another user": {plaintext: true, another: true, atOnce: true},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.another && os.Getuid() != 0 {
				t.Skip("only root can start a program as somebody else")
			}
			noLeaks(t)
			cfg := withEcho(t, "lender")
			cfg.Multiplex, cfg.InsecurePlaintext = true, tc.plaintext
			first := &early{t: t, attacks: slices.Sorted(maps.Keys(attacks)), program: cfg.Cmd.Path}
			if tc.another {
				first.program, first.attr = copyForAll(t), asNobody()
				defer os.Chmod(os.TempDir(), 0o700)
			}
			cfg.StartCmd = first.start
			c := start(t, cfg)
			usesBroker(t, c)
			for _, a := range first.results() {
				if a.leaks() || tc.atOnce && len(a.Got) > 0 || strings.Contains(a.Err, "timeout") {
					t.Errorf("%s got %q, %s", a.Attack, a.Got, a.Err)
				}
			}
			usesBroker(t, c)
			closes(t, c)
		})
	}
}

// early makes strangers connect before the host knows the address.
type early struct {
	t        *testing.T
	attacks  []string
	program  string
	attr     *syscall.SysProcAttr // of another user
	attacker *exec.Cmd
	out      *bufio.Reader
	ended    chan struct{} // closed when the plugin prints no more
}

// start is a Config.StartCmd. It reads the handshake line before the host does.
func (e *early) start(cmd *exec.Cmd, _ string) error {
	fd, err := syscall.Dup(int(cmd.Stdout.(*os.File).Fd()))
	if err != nil {
		return err
	}
	syscall.CloseOnExec(fd)
	toHost := os.NewFile(uintptr(fd), "stdout")
	ours, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd.Stdout = theirs
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		ours.Close()
		toHost.Close()
		return err
	}
	e.ended = make(chan struct{})
	cert := ""
	for _, entry := range cmd.Env {
		if value, ok := strings.CutPrefix(entry, wire.EnvClientCert+"="); ok {
			cert = value
		}
	}
	go func() {
		defer close(e.ended)
		defer ours.Close()
		defer toHost.Close()
		in := bufio.NewReader(ours)
		line, err := in.ReadBytes('\n')
		if err != nil {
			e.t.Error(err)
			return
		}
		h, err := hostwire.ParseHandshake(bytes.TrimSpace(line))
		if err == nil {
			err = e.attack(h.Address, cert)
		}
		if err != nil {
			e.t.Error(err)
		}
		toHost.Write(line)
		io.Copy(toHost, in)
	}()
	return nil
}

// attack starts the strangers, and returns when all have connected.
func (e *early) attack(socket, cert string) error {
	if e.attr != nil {
		if err := openWide(socket); err != nil {
			return err
		}
	}
	e.attacker = exec.Command(e.program)
	e.attacker.SysProcAttr = e.attr
	e.attacker.Env = []string{fakeEnv + "=attacker", "GORACE=atexit_sleep_ms=0", targetsEnv + "=" + socket, hostCertEnv + "=" + cert,
		attacksEnv + "=" + strings.Join(e.attacks, ":"), earlyEnv + "=1"}
	e.attacker.Stdin = alive
	e.attacker.Stderr = e.t.Output()
	out, err := e.attacker.StdoutPipe()
	if err != nil {
		return err
	}
	if err := e.attacker.Start(); err != nil {
		return err
	}
	e.out = bufio.NewReader(out)
	if line, err := e.out.ReadString('\n'); line != "there\n" {
		return fmt.Errorf("the attacker says %q, %w", line, err)
	}
	return nil
}

// results returns what the strangers got, who have been hung up on.
func (e *early) results() (all []attacked) {
	e.t.Helper()
	for in := json.NewDecoder(e.out); ; {
		var a attacked
		if err := in.Decode(&a); err == io.EOF {
			break
		} else if err != nil {
			e.t.Fatal(err)
		}
		all = append(all, a)
	}
	if err := e.attacker.Wait(); err != nil {
		e.t.Error(err)
	}
	if want := len(e.attacks) + silentOnes; len(all) != want {
		e.t.Errorf("there are %d results, not %d", len(all), want)
	}
	return all
}

// silentOnes is how many strangers connect and say nothing.
const silentOnes = 40

// playEarlyAttacker attacks one socket in all ways at once, until everyone is
// hung up on.
func playEarlyAttacker() {
	socket := os.Getenv(targetsEnv)
	dial := func() net.Conn {
		conn, err := net.Dial("unix", socket)
		must(err)
		conn.SetReadDeadline(time.Now().Add(ample))
		return conn
	}
	results := make(chan attacked)
	waiting := silentOnes
	var begun sync.WaitGroup // the plugin knows of their streams
	for range silentOnes {
		conn := dial()
		go func() {
			got, err := io.ReadAll(conn)
			results <- attacked{"silence", socket, got, fmt.Sprint(err)}
		}()
	}
	for _, name := range strings.Split(os.Getenv(attacksEnv), ":") {
		waiting++
		session := yamux.Client(dial())
		st, err := session.Open(context.Background())
		if err != nil { // without TLS they are hung up on at once
			go func() { results <- attacked{name, socket, nil, err.Error()} }()
			continue
		}
		begun.Add(1)
		go func() {
			select {
			case <-st.Accepted():
			case <-session.Done():
			}
			begun.Done()
			got, _ := talk(attacks[name](st))
			<-session.Done() // a stranger who was refused may still be in the way
			results <- attacked{name, socket, got, session.Err().Error()}
		}()
	}
	begun.Wait()
	fmt.Println("there")
	out := json.NewEncoder(os.Stdout)
	for range waiting {
		must(out.Encode(<-results))
	}
}
