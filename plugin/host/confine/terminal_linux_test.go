package confine_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/host/confine"
)

// terminalAttempts are made on the standard input.
var terminalAttempts = map[string]func(arg string) error{
	"type": func(text string) error {
		for _, c := range []byte(text + "\n") {
			if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, 0, syscall.TIOCSTI, uintptr(unsafe.Pointer(&c))); errno != 0 {
				return errno
			}
		}
		return nil
	},
	"ioctl": func(request string) error {
		_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, 0, parse(request)[0], 0)
		return result(^uintptr(0), errno)
	},
	"line": func(string) error {
		b := make([]byte, 100)
		n, err := os.Stdin.Read(b)
		if err == nil {
			err = fmt.Errorf("line %q", b[:n])
		}
		return err
	},
}

// terminal returns both ends of a new pseudo-terminal: see pts(4).
func terminal(t *testing.T) (master, slave *os.File) {
	const tiocgptn, tiocsptlck = 0x80045430, 0x40045431
	open := func(path string) *os.File {
		f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY, 0)
		if err != nil {
			t.Skip("no pseudo-terminals: ", err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	master = open("/dev/ptmx")
	var locked, number int32
	for request, value := range map[uintptr]*int32{tiocsptlck: &locked, tiocgptn: &number} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, master.Fd(), request, uintptr(unsafe.Pointer(value))); errno != 0 {
			t.Fatal(errno)
		}
	}
	return master, open(fmt.Sprintf("/dev/pts/%d", number))
}

// typed makes a program type a line into the terminal that is its standard input, and
// then types another as the person there would. It returns the result of the first
// attempt and what the terminal's next reader gets.
func typed(t *testing.T, cmd *exec.Cmd, start func(*exec.Cmd) error) (attempt, line string) {
	t.Helper()
	master, slave := terminal(t)
	attr := syscall.SysProcAttr{}
	if cmd.SysProcAttr != nil {
		attr = *cmd.SysProcAttr
	}
	attr.Setsid, attr.Setctty = true, true // users other than root type into their own terminal alone
	cmd.SysProcAttr, cmd.Stdin = &attr, slave
	cmd.Env = environment("type plugin", "line")
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = in, in
	err = start(cmd)
	in.Close()
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Scan()
	attempt = lines.Text()
	io.WriteString(master, "user\n")
	lines.Scan()
	line = lines.Text()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	return attempt, line
}

func TestTerminal(t *testing.T) {
	eachUser(t, func(t *testing.T, command func() *exec.Cmd) {
		for _, p := range []confine.Policy{{}, {AllowTCP: true, AllowUDP: true, AllowSignals: true, Stdin: true}} {
			attempt, line := typed(t, command(), func(cmd *exec.Cmd) error { return own(p).Start(cmd, "") })
			if attempt != notAllowed || line != `line "user\n"` {
				t.Errorf("%+v: typing: %s, want %s; the next reader got %s", p, attempt, notAllowed, line)
			}
		}
		attempt, line := typed(t, command(), (*exec.Cmd).Start)
		if attempt == syscall.EIO.Error() {
			t.Skip("the kernel lets nobody type: dev.tty.legacy_tiocsti is 0")
		}
		if attempt != "done" || line != `line "plugin\n"` {
			t.Errorf("without confinement: typing: %s; the next reader got %s", attempt, line)
		}
	})
}

// A file is no terminal, and returns its own error for other requests.
func TestTerminalRequests(t *testing.T) {
	file, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := self()
	cmd.Stdin = file
	lines := []string{"ioctl 0x5412", "ioctl 0x541c", "ioctl 0x100005412", "ioctl 0xffffffff0000541c", "ioctl 0x5413"}
	start := func(cmd *exec.Cmd) error { return own(confine.Policy{}).Start(cmd, "") }
	want(t, lines, outcomes(t, cmd, start, lines...), []string{notAllowed, notAllowed, notAllowed, notAllowed, "inappropriate ioctl"})
}

func TestStdin(t *testing.T) {
	path := filepath.Join(t.TempDir(), "typed")
	if err := os.WriteFile(path, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := func() *os.File {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	before := os.Stdin
	defer func() { os.Stdin = before }()
	for _, tt := range []struct {
		name   string
		policy confine.Policy
		other  bool
		want   string
	}{
		{"the host's", confine.Policy{}, false, "EOF"},
		{"the host's, asked for", confine.Policy{Stdin: true}, false, `line "secret\n"`},
		{"another file", confine.Policy{}, true, `line "secret\n"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			os.Stdin = open()
			cmd := self()
			cmd.Stdin = os.Stdin
			if tt.other {
				cmd.Stdin = open()
			}
			start := func(cmd *exec.Cmd) error { return own(tt.policy).Start(cmd, "") }
			want(t, []string{"line"}, outcomes(t, cmd, start, "line"), []string{tt.want})

			// In a host.
			os.Stdin = open()
			cmd = self()
			if tt.other {
				cmd.Stdin = open()
			}
			client, err := host.Start(t.Context(), &host.Config{Handshake: handshake, Cmd: cmd, StartCmd: own(tt.policy).Start})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			req, out := text("line"), text("")
			if err := client.Conn().Invoke(t.Context(), "/test.Try/Try", &req, &out); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(out), tt.want) {
				t.Errorf("the plugin of a host reads %s, want %s", out, tt.want)
			}
		})
	}
}
