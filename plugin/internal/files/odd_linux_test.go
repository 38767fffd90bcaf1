package files_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/tenonrpc/tenon/plugin/internal/files"
)

// oddEnv makes this test binary run playOdd. Its words are a umask, and the names of
// oddities.
const oddEnv = "TN_ODD"

// oddities are what some systems lack, by name.
var oddities = map[string]func() error{
	// No /proc: in a mount namespace of this process's own.
	"noproc": func() error { return syscall.Mount("none", "/proc", "tmpfs", 0, "") },
	// A /proc that shows nothing of other users' processes: proc(5).
	"hidepid": func() error { return syscall.Mount("proc", "/proc", "proc", 0, "hidepid=2") },
	// Container runtimes' filters refuse unshare(2) to those without rights.
	"nothread": func() error { return refuse(syscall.SYS_UNSHARE, syscall.EPERM) },
	// Linux before 6.6.
	"old": func() error { return refuse(452, syscall.ENOSYS) },
}

// mounts reports whether only root can bring an oddity about.
func mounts(odd string) bool { return odd == "noproc" || odd == "hidepid" }

// refuse makes the kernel refuse a system call to the whole process: seccomp(2).
func refuse(call uint32, with syscall.Errno) error {
	const (
		setNoNewPrivs   = 38
		setModeFilter   = 1
		flagTsync       = 1
		retAllow        = 0x7fff0000
		retErrno        = 0x00050000
		load, equal, to = syscall.BPF_LD | syscall.BPF_W | syscall.BPF_ABS, syscall.BPF_JMP | syscall.BPF_JEQ | syscall.BPF_K, syscall.BPF_RET | syscall.BPF_K
	)
	number, ok := map[string]uintptr{"amd64": 317, "arm64": 277, "386": 354}[runtime.GOARCH]
	if !ok {
		return errors.ErrUnsupported
	}
	filter := []syscall.SockFilter{{Code: load}, {Code: equal, K: call, Jf: 1}, {Code: to, K: retErrno | uint32(with)}, {Code: to, K: retAllow}}
	prog := syscall.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if _, _, errno := syscall.Syscall6(syscall.SYS_PRCTL, setNoNewPrivs, 1, 0, 0, 0, 0); errno != 0 {
		return errno
	}
	if _, _, errno := syscall.Syscall(number, setModeFilter, flagTsync, uintptr(unsafe.Pointer(&prog))); errno != 0 {
		return errno
	}
	return nil
}

// playOdd makes one of everything in a directory, and prints the result.
func playOdd(words string) error {
	fields := strings.Fields(words)
	dir := fields[0]
	var umask int
	fmt.Sscanf(fields[1], "%o", &umask)
	for _, odd := range fields[2:] {
		if mounts(odd) {
			if err := oddities[odd](); err != nil {
				return err
			}
		}
	}
	if os.Getuid() == 0 {
		if err := errors.Join(syscall.Setgroups([]int{nobody}), syscall.Setresgid(nobody, nobody, nobody), syscall.Setresuid(nobody, nobody, nobody)); err != nil {
			return err
		}
	}
	for _, odd := range fields[2:] {
		if !mounts(odd) {
			if err := oddities[odd](); err != nil {
				return err
			}
		}
	}
	syscall.Umask(umask)
	return makeOne(dir)
}

func makeOne(path string) error {
	parent, err := files.OpenParent(path)
	if err != nil {
		return err
	}
	defer parent.Close()
	d, err := parent.Make(files.NewName("tenon-"), 0o700|fs.ModeSticky)
	if err != nil {
		return err
	}
	defer func() {
		d.Empty()
		parent.Remove(d)
	}()
	group := files.Access{UID: -1, GID: os.Getgid(), Mode: 0o660}
	for name, listen := range map[string]func() (net.Listener, error){
		"in a directory":            func() (net.Listener, error) { return d.Listen("s", files.Private(files.SocketMode)) },
		"in a directory, a group's": func() (net.Listener, error) { return d.Listen("g", group) },
		"by path":                   func() (net.Listener, error) { return files.Listen(d.Path(), "s", files.Private(files.SocketMode), nil) },
		"by path, a group's":        func() (net.Listener, error) { return files.Listen(d.Path(), "g", group, nil) },
	} {
		l, err := listen()
		if err != nil {
			return fmt.Errorf("listening %s: %w", name, err)
		}
		want := fs.FileMode(files.SocketMode)
		if strings.Contains(name, "group") {
			want = 0o660
		}
		info, err := os.Lstat(l.Addr().String())
		if err != nil || info.Mode() != want|fs.ModeSocket {
			return fmt.Errorf("listening %s: the socket has %v (%v), want %v", name, info.Mode(), err, want)
		}
		conn, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			return fmt.Errorf("listening %s: %w", name, err)
		}
		conn.Close()
		l.Close()
		if _, err := os.Lstat(l.Addr().String()); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("listening %s: the socket is left: %v", name, err)
		}
	}
	record := filepath.Join(d.Path(), "record")
	if err := files.Replace(record, nil, 0o600); err != nil {
		return err
	}
	if info, err := os.Lstat(record); err != nil || info.Mode() != 0o600 {
		return fmt.Errorf("the record has %v, %v", info.Mode(), err)
	}
	if d.Info().Mode() != 0o700|fs.ModeSticky|fs.ModeDir {
		return fmt.Errorf("the directory has %v", d.Info().Mode())
	}
	return nil
}

// TestOddSurroundings: with any umask, without /proc, without threads that have a working
// directory of their own, on older kernels.
func TestOddSurroundings(t *testing.T) {
	program := ownCopy(t)
	dir, err := os.MkdirTemp("", "tn")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, odd := range []string{"", "noproc", "hidepid", "old hidepid", "nothread", "old", "noproc nothread", "old nothread", "old noproc", "old noproc nothread"} {
		for _, umask := range []string{"0000", "0022", "0077", "0177", "0277", "0777"} {
			t.Run(umask+" "+odd, func(t *testing.T) {
				if slices.ContainsFunc(strings.Fields(odd), mounts) && os.Getuid() != 0 {
					t.Skip("only root can change what /proc is")
				}
				cmd := exec.Command(program)
				cmd.Env = []string{oddEnv + "=" + dir + " " + umask + " " + odd}
				cmd.Dir = "/"
				if os.Getuid() == 0 {
					cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
				}
				out, err := cmd.CombinedOutput()
				// Permissions that the umask removes are restored if there is any way.
				impossible := umask == "0777" && strings.Contains(odd, "nothread") ||
					odd == "old noproc nothread" && umask != "0000"
				switch {
				case err != nil:
					t.Errorf("%v: %s", err, out)
				case impossible && !bytes.Contains(out, []byte(files.ErrUmask.Error())):
					t.Errorf("%s, want an error that names the umask", out)
				case !impossible && string(out) != "<nil>\n":
					t.Errorf("%s", out)
				}
			})
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestLongPaths listens where the path of a socket is longer than the system allows.
func TestLongPaths(t *testing.T) {
	parent, err := files.OpenParent(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer parent.Close()
	d, err := parent.Make(strings.Repeat("d", 120), 0o700)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	l, err := d.Listen("s", files.Private(files.SocketMode))
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(d.Path(), "s"); l.Addr().String() != want {
		t.Errorf("the address is %s, want %s", l.Addr(), want)
	}
	short := filepath.Join(t.TempDir(), "l")
	if err := os.Symlink(d.Path(), short); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", short+"/s")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	l.Close()
	if _, err := os.Lstat(l.Addr().String()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}
