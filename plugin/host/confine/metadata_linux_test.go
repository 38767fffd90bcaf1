package confine_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/host/confine"
)

// callNumbers are the numbers of system calls, for architectures that have them:
// scripts/syscall.tbl and arch/x86/entry/syscalls/syscall_64.tbl.
var callNumbers = map[string]map[string]int{
	"amd64": {
		"open": 2, "creat": 85, "chmod": 90, "fchmod": 91, "chown": 92, "fchown": 93, "lchown": 94, "utime": 132, "mknod": 133,
		"setxattr": 188, "lsetxattr": 189, "fsetxattr": 190, "removexattr": 197, "lremovexattr": 198, "fremovexattr": 199, "utimes": 235,
		"openat": 257, "mknodat": 259, "fchownat": 260, "futimesat": 261, "fchmodat": 268, "utimensat": 280, "open_by_handle_at": 304,
		"openat2": 437, "fchmodat2": 452, "setxattrat": 463, "removexattrat": 466, "file_setattr": 469,
		"clone": 56, "setpriority": 141, "add_key": 248, "keyctl": 250, "ioprio_set": 251, "prlimit64": 302, "clone3": 435,
	},
	"arm64": {
		"setxattr": 5, "lsetxattr": 6, "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15, "fremovexattr": 16,
		"mknodat": 33, "fchmod": 52, "fchmodat": 53, "fchownat": 54, "fchown": 55, "openat": 56, "utimensat": 88, "open_by_handle_at": 265,
		"openat2": 437, "fchmodat2": 452, "setxattrat": 463, "removexattrat": 466, "file_setattr": 469,
		"clone": 220, "setpriority": 140, "add_key": 217, "keyctl": 219, "ioprio_set": 30, "prlimit64": 261, "clone3": 435,
	},
}[runtime.GOARCH]

// has reports whether the architecture has the system call of a line.
func has(line string) bool { _, ok := callNumbers[strings.Fields(line)[2]]; return ok }

// callAttempts are made by path, or by system call.
var callAttempts = map[string]func(arg string) error{
	"chmod": func(path string) error { return os.Chmod(path, 0o640) },
	"times": func(path string) error { return os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0)) },
	"fchmod": func(path string) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return f.Chmod(0o600)
	},
	// A path, the name of a system call and its arguments, in which some words stand
	// for values that depend on the path.
	"call": func(arg string) error {
		fields := strings.Fields(arg)
		var pinned runtime.Pinner
		defer pinned.Unpin()
		pointer := func(b []byte) uintptr {
			pinned.Pin(&b[0])
			return uintptr(unsafe.Pointer(&b[0]))
		}
		value := []byte("value")
		described := func(flags int) uintptr {
			fd, err := syscall.Open(fields[0], flags, 0)
			if err != nil {
				return ^uintptr(0)
			}
			return uintptr(fd)
		}
		var args [6]uintptr
		for i, word := range fields[2:] {
			switch word {
			case "at":
				args[i] = ^uintptr(99) // AT_FDCWD
			case "path":
				args[i] = pointer(append([]byte(fields[0]), 0))
			case "empty":
				args[i] = pointer([]byte{0})
			case "name":
				args[i] = pointer([]byte("user.tn\x00"))
			case "value":
				args[i] = pointer(value)
			case "valueargs": // struct xattr_args
				args[i] = pointer(binary.NativeEndian.AppendUint64(binary.NativeEndian.AppendUint64(nil, uint64(pointer(value))), uint64(len(value))))
			case "zeros":
				args[i] = pointer(make([]byte, 64))
			case "fd":
				args[i] = described(syscall.O_RDONLY)
			case "opath":
				args[i] = described(0x200000)
			default:
				args[i] = parse(word)[0]
			}
		}
		_, _, errno := syscall.RawSyscall6(uintptr(callNumbers[fields[1]]), args[0], args[1], args[2], args[3], args[4], args[5])
		return result(^uintptr(0), errno)
	},
}

// replaced returns calls with one word replaced.
func replaced(calls []string, word, by string) (out []string) {
	for _, c := range calls {
		out = append(out, strings.ReplaceAll(c, word, by))
	}
	return out
}

// calls returns the attempts at system calls with a path, except for those that the
// architecture does not have.
func calls(path string, calls ...string) (lines []string) {
	for _, c := range calls {
		if line := "call " + path + " " + c; has(line) {
			lines = append(lines, line)
		}
	}
	return lines
}

// place returns a directory that belongs to the user that commands run as.
func place(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "tn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, name := range []string{"", "/given"} {
		os.Mkdir(dir+name, 0o700)
		if err := errors.Join(os.WriteFile(dir+name+"/file", []byte("text"), 0o600), os.Chtimes(dir+name+"/file", time.Time{}, time.Unix(1e9, 0))); err != nil {
			t.Fatal(err)
		}
		if cmd.SysProcAttr != nil {
			if err := errors.Join(os.Chown(dir+name, nobody, nobody), os.Chown(dir+name+"/file", nobody, nobody)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// byPath change a file by its path, or by a descriptor that allows nothing else. The
// last ones would be calls on a descriptor, except for a flag and the upper half of a
// pointer.
var byPath = []string{
	"chmod path 0666", "fchmodat at path 0666", "fchmodat2 at path 0666 0", "fchmodat2 opath empty 0666 0x1000",
	"chown path 0xffffffff 0xffffffff", "lchown path 0xffffffff 0xffffffff", "fchownat at path 0xffffffff 0xffffffff 0", "fchownat opath empty 0xffffffff 0xffffffff 0x1000",
	"utime path 0", "utimes path 0", "futimesat at path 0", "utimensat at path 0 0", "utimensat opath empty 0 0x1000",
	"setxattr path name value 5 0", "removexattr path name", "lsetxattr path name value 5 0", "lremovexattr path name",
	"setxattrat at path 0 name valueargs 16", "removexattrat at path 0 name",
	"file_setattr at path zeros 24 0",
}

var (
	onDescriptors = []string{"fchmod FD 0640", "fchown FD 0xffffffff 0xffffffff", "fsetxattr FD name value 5 0", "fremovexattr FD name", "utimensat FD 0 0 0", "futimesat FD 0 0"}
	likeThem      = []string{"utimensat fd 0 0 0x1000", "utimensat at 0x100000000 0 0", "futimesat at 0x100000000 0"}
)

func TestMetadata(t *testing.T) {
	eachUser(t, func(t *testing.T, command func() *exec.Cmd) {
		dir := place(t, command())
		secret, given := dir+"/file", dir+"/given/file"
		try := func(p confine.Policy, lines ...string) []string {
			t.Helper()
			p.Write = []string{dir + "/given"}
			return outcomes(t, command(), func(cmd *exec.Cmd) error { return own(p).Start(cmd, "") }, lines...)
		}
		same := func(lines []string, wanted string) []string { return slices.Repeat([]string{wanted}, len(lines)) }

		lines := append([]string{"chmod " + secret, "times " + secret, "chmod " + given, "times " + given}, calls(secret, byPath...)...)
		lines = append(append(lines, calls(given, byPath...)...), calls(given, likeThem...)...)
		want(t, lines, try(confine.Policy{}, lines...), same(lines, notAllowed))
		for _, path := range []string{secret, given} {
			if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 || !info.ModTime().Equal(time.Unix(1e9, 0)) {
				t.Errorf("%s has changed: %v, %v", path, info, err)
			}
		}

		fds := append([]string{"fchmod " + given}, calls(given, replaced(onDescriptors, "FD", "fd")...)...)
		want(t, fds, try(confine.Policy{}, fds...), same(fds, "done"))
		// The secret cannot be opened; these calls do not accept a descriptor that
		// names it without opening it.
		for _, kind := range []string{"fd", "opath"} {
			fds = calls(secret, replaced(onDescriptors, "FD", kind)...)
			want(t, fds, try(confine.Policy{}, fds...), same(fds, "bad file descriptor"))
		}

		for i, got := range try(confine.Policy{AllowMetadata: true}, lines...) {
			switch {
			case strings.Contains(got, "not supported"), strings.Contains(got, "no data"): // by this file system
			case strings.Contains(lines[i], " 0x100000000 "), strings.Contains(lines[i], " fd 0 0 0x1000"):
				if strings.Contains(got, notAllowed) {
					t.Errorf("%s with AllowMetadata: %s", lines[i], got)
				}
			case got != "done":
				t.Errorf("%s with AllowMetadata: %s", lines[i], got)
			}
		}
		if info, err := os.Stat(secret); err != nil || info.Mode() != 0o666 {
			t.Errorf("with AllowMetadata %s has not changed: %v, %v", secret, info, err)
		}
	})
}

// setIDs are calls with a mode, MODE, that make or change a file.
var setIDs = []string{
	"chmod path MODE", "fchmod fd MODE", "fchmodat at path MODE", "fchmodat2 at path MODE 0",
	"open path 0x40 MODE", "openat at path 0x40 MODE", "open path 0x8040 MODE", "creat path MODE",
}

// newIDs are those of them that make files in a directory.
var newIDs = []string{"open path 0x410002 MODE", "openat at path 0x410002 MODE"}

func TestSetIDBits(t *testing.T) {
	eachUser(t, func(t *testing.T, command func() *exec.Cmd) {
		dir := place(t, command())
		file := dir + "/given/file"
		for _, tt := range []struct{ mode, want string }{
			{"0755", "done"}, {"01755", "done"}, {"04755", notAllowed}, {"02755", notAllowed}, {"06755", notAllowed}, {"0x1000009ed", notAllowed},
		} {
			with := func(path string, lines ...string) []string {
				return calls(path, replaced(lines, "MODE", tt.mode)...)
			}
			lines := append(with(file, setIDs...), with(dir+"/given", newIDs...)...)
			mode, err := strconv.ParseUint(tt.mode, 0, 64)
			if err != nil {
				t.Fatal(err)
			}
			regular := fmt.Sprintf("%#o", mode|syscall.S_IFREG)
			lines = append(lines, calls(dir+"/given/mknod"+tt.mode, "mknod path "+regular+" 0")...)
			lines = append(lines, calls(dir+"/given/mknodat"+tt.mode, "mknodat at path "+regular+" 0")...)
			policy := own(confine.Policy{AllowMetadata: true, Write: []string{dir + "/given"}})
			got := outcomes(t, command(), func(cmd *exec.Cmd) error { return policy.Start(cmd, "") }, lines...)
			want(t, lines, got, slices.Repeat([]string{tt.want}, len(lines)))

			// The mode does not matter if opening makes no file.
			policy.AllowMetadata = false
			lines = append(with(file, "openat at path 0 MODE", "open path 0 MODE"), with(file, "fchmod fd MODE")...)
			got = outcomes(t, command(), func(cmd *exec.Cmd) error { return policy.Start(cmd, "") }, lines...)
			want(t, lines, got, append(slices.Repeat([]string{"done"}, len(lines)-1), tt.want))
		}
		entries, err := os.ReadDir(dir + "/given")
		if err != nil || len(entries) < 3 {
			t.Fatalf("found %v, %v", entries, err)
		}
		for _, e := range entries {
			if info, err := e.Info(); err != nil || info.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 {
				t.Errorf("%s: %v, %v", e.Name(), info.Mode(), err)
			}
		}
	})
}

// Landlock does not check opens for neither reading nor writing.
func TestOpenForNothing(t *testing.T) {
	eachUser(t, func(t *testing.T, command func() *exec.Cmd) {
		dir := place(t, command())
		lines := calls(dir+"/file", "open path 3", "openat at path 3", "openat at path 0x80003", "openat2 at path zeros 24")
		refused := append(slices.Repeat([]string{notAllowed}, len(lines)-1), noSuchCall)
		if command().SysProcAttr == nil && os.Getuid() == 0 { // others are refused it by the kernel
			lines, refused = append(lines, calls(dir+"/file", "open_by_handle_at 0xffffffff zeros 3")...), append(refused, notAllowed)
		}
		for _, p := range []confine.Policy{{}, {AllowMetadata: true}} {
			got := outcomes(t, command(), func(cmd *exec.Cmd) error { return own(p).Start(cmd, "") }, lines...)
			want(t, lines, got, refused)
		}
		for i, got := range outcomes(t, command(), (*exec.Cmd).Start, lines...) {
			if strings.Contains(got, refused[i]) {
				t.Errorf("%s is refused without confinement too: %s", lines[i], got)
			}
		}
	})
}

// What a plugin does to its socket: giving it to a group takes a path; restoring what
// the umask removed does not.
func TestPluginsSocket(t *testing.T) {
	for _, tt := range []struct {
		group string
		umask int
	}{{strconv.Itoa(os.Getgid()), 0o022}, {"", 0o277}} {
		for _, allowed := range []bool{false, true} {
			before := syscall.Umask(tt.umask)
			client, err := host.Start(t.Context(), &host.Config{
				Handshake: handshake, Cmd: self(), Sockets: host.Sockets{Group: tt.group}, StartCmd: own(confine.Policy{AllowMetadata: allowed}).Start,
			})
			syscall.Umask(before)
			if (err == nil) != (allowed || tt.group == "") {
				t.Errorf("group %q, umask %#o, AllowMetadata %v: %v", tt.group, tt.umask, allowed, err)
			}
			if err == nil {
				client.Close()
			} else if !strings.Contains(err.Error(), "protect") || !strings.Contains(err.Error(), notAllowed) {
				t.Errorf("group %q, umask %#o: %v, want the plugin's own reason", tt.group, tt.umask, err)
			}
		}
	}
}
