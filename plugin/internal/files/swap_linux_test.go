package files_test

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/tenonrpc/tenon/plugin/internal/files"
)

var rounds = flag.Int("rounds", 500, "how often each operation runs beside somebody who swaps what it works on")

// The variables that make this test binary the process that swaps, or a host of an
// ordinary user.
const (
	swapperEnv = "TN_SWAPPER"
	hostEnv    = "TN_SWAPPED_HOST"
)

// nobody is another user.
const nobody = 65534

func TestMain(m *testing.M) {
	flag.Parse()
	switch {
	case os.Getenv(swapperEnv) != "":
		swap(os.Getenv(swapperEnv))
	case os.Getenv(hostEnv) != "":
		playHost(os.Getenv(hostEnv))
	case os.Getenv(shake.MagicCookieKey) != "":
		servePlugin()
	case os.Getenv(oddEnv) != "":
		fmt.Println(playOdd(os.Getenv(oddEnv)))
	default:
		os.Exit(m.Run())
	}
}

// place is where the operations run: everybody can change it. outside, beside it, is what
// the swapped links lead to.
type place struct{ dir, outside string }

func placeIn(dir string) place {
	return place{filepath.Join(dir, "place"), filepath.Join(dir, "outside")}
}

// furnish makes the place and what is outside: under every name that the operations use
// there is something that could be damaged.
func furnish(t *testing.T, uid int) string {
	t.Helper()
	base, err := os.MkdirTemp("", "tn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	p := placeIn(base)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Chmod(base, 0o711))
	for _, dir := range []string{p.dir, p.dir + "/group", p.dir + "/left", p.dir + "/moved"} {
		must(os.Mkdir(dir, 0o777))
		must(os.Chmod(dir, 0o777))
	}
	must(os.Mkdir(p.outside, 0o755))
	for _, name := range []string{"p", "h", "d"} {
		must(os.Mkdir(filepath.Join(p.outside, name), 0o755))
	}
	for _, name := range []string{"file", "record", "h/precious", "d/precious"} {
		must(os.WriteFile(filepath.Join(p.outside, name), []byte("precious"), 0o644))
	}
	for _, name := range []string{"host", "plugin", "left", "p/plugin", "h/host"} {
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
		must(err)
		must(syscall.Bind(fd, &syscall.SockaddrUnix{Name: filepath.Join(p.outside, name)}))
		must(syscall.Close(fd))
	}
	must(os.Remove(filepath.Join(p.outside, "p/plugin"))) // p is empty, and could be removed
	must(filepath.WalkDir(base, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, uid, uid))
	}))
	must(os.Chmod(filepath.Join(p.outside, "file"), 0o755|fs.ModeSetuid))
	return base
}

// picture describes everything outside, so that any change shows.
func picture(t *testing.T, base string) string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(placeIn(base).outside, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		out = append(out, fmt.Sprintf("%s %v of %d:%d, %d links, inode %d, %d bytes, changed %v", path, info.Mode(), st.Uid, st.Gid, st.Nlink, st.Ino, info.Size(), st.Ctim))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, "\n")
}

// operate runs every operation of the package n times. An operation that the swapping
// prevents is no failure; the successes of each are counted.
func operate(base string, n int) (went map[string]int, err error) {
	p := placeIn(base)
	parent, err := files.OpenParent(p.dir)
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	plugin := files.Access{UID: -1, GID: -1, Mode: 0o700}
	if os.Geteuid() == 0 {
		plugin.UID, plugin.GID = nobody, nobody
	}
	socket := plugin
	socket.Mode = files.SocketMode
	went = make(map[string]int)
	own := &ownSocket{path: p.dir + "/moved/own"}
	defer own.close()
	count := func(what string, err error) bool {
		if err == nil {
			went[what]++
		}
		return err == nil
	}
	for range n {
		if err := own.check(); err != nil {
			return went, err
		}
		outer, err := parent.Make(files.NewName("tenon-"), 0o711|fs.ModeSticky)
		if !count("make", err) {
			continue
		}
		outer.Hold()
		if sub, err := outer.Make("p", 0o700); count("make a directory in it", err) {
			for range 4 {
				count("give it away", sub.Give(plugin))
			}
			if l, err := sub.Listen("plugin", socket); count("listen in the plugin's directory", err) {
				count("close that", l.Close())
			}
			count("empty it", sub.Empty())
			count("remove it", outer.Remove(sub))
		}
		if sub, err := outer.Make("new", 0o700); err == nil {
			outer.Remove(sub)
		}
		if sub, err := outer.Make("h", 0o711); err == nil {
			if l, err := sub.Listen("host", socket); count("listen", err) {
				count("close", l.Close())
			}
			sub.Empty()
			outer.Remove(sub)
		}
		outer.Empty()
		count("remove", parent.Remove(outer))

		group := files.Private(0o660)
		group.GID = os.Getegid()
		if l, err := files.Listen(p.dir+"/group", "plugin", group, nil); count("listen by path", err) {
			count("close what listens by path", l.Close())
		}
		for range 4 {
			if s, ok := files.OpenSocket(p.dir + "/left/left"); ok {
				s.Close()
				if s.Owner() == nobody && os.Geteuid() == 0 { // as a host asks whose it is
					count("remove a socket that was left", s.Remove())
				}
			}
		}
		if f, _, err := files.Read(p.dir + "/record"); err == nil {
			f.Close()
		}
		count("replace a file", files.Replace(p.dir+"/record", []byte("record"), 0o600))
	}
	return went, nil
}

// ownSocket is an old socket of the host that others can move, but not give away.
type ownSocket struct {
	path string
	file *os.File // of nothing but its name
}

func (s *ownSocket) check() error {
	if s.file != nil {
		info, err := s.file.Stat()
		if err != nil || int(info.Sys().(*syscall.Stat_t).Uid) != os.Geteuid() {
			return fmt.Errorf("a socket of the host's was given away: %v, %v", info, err)
		}
	}
	if _, err := os.Lstat(s.path); err == nil {
		return nil
	}
	s.close()
	old := time.Now().Add(-time.Hour)
	if err := bind(s.path + "-new"); err != nil {
		return err
	}
	if err := errors.Join(os.Chtimes(s.path+"-new", old, old), os.Rename(s.path+"-new", s.path)); err != nil {
		return err
	}
	const oPath = 0x200000
	s.file, _ = os.OpenFile(s.path, oPath, 0) // it may be gone already
	return nil
}

func (s *ownSocket) close() {
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
}

// swap changes everything in the place as fast as it can, until the test has ended. It
// does not leave the place itself.
func swap(base string) {
	p := placeIn(base)
	root, err := os.OpenRoot(p.dir)
	if err != nil {
		panic(err)
	}
	entries := func(dir, prefix string) (found []string) {
		f, err := root.Open(dir)
		if err != nil {
			return nil
		}
		defer f.Close()
		names, _ := f.Readdirnames(-1)
		for _, name := range names {
			if strings.HasPrefix(name, prefix) {
				found = append(found, filepath.Join(dir, name))
			}
		}
		return found
	}
	outer := func() string { return append(entries(".", "tenon-"), "none")[0] }
	// Directories are replaced by links, and come back.
	flip := func(key string, path func() string) {
		for i := 0; ; i++ {
			dir, away := path(), fmt.Sprintf("away-%s%d", key, i)
			if root.Rename(dir, away) != nil {
				continue
			}
			root.Symlink(p.outside, dir)
			root.Lstat(dir) // for a moment
			root.Remove(dir)
			if root.Rename(away, dir) != nil {
				root.RemoveAll(away)
			}
		}
	}
	go flip("outer", outer)
	go flip("plugin", func() string { return outer() + "/p" })
	go flip("left", func() string { return "left" })
	go flip("deep", func() string { return append(entries(outer()+"/p", "d"), "none")[0] })
	// Sockets are replaced by links, as soon as they exist.
	overwrite := func(key string, dir func() string) {
		for i := 0; ; i++ {
			for _, to := range entries(dir(), "plugin") {
				root.Symlink(p.outside+[]string{"/file", "/plugin"}[i%2], "link-"+key)
				root.Rename("link-"+key, to)
			}
		}
	}
	go overwrite("plugin", func() string { return outer() + "/p" })
	go overwrite("group", func() string { return "group" })
	// A socket of the host replaces another one of the host. With these paths a process
	// of the same user would itself reach what is outside.
	go func() {
		for {
			if info, err := os.Stat(p.outside); err != nil || files.Own(info) {
				return
			}
			to := filepath.Join(p.dir, outer(), "p", "plugin")
			for range 200 {
				exchange(p.dir+"/moved/own", to)
			}
		}
	}()
	// Old sockets are left, so that there is something to remove.
	go func() {
		for i := 0; ; i++ {
			if fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0); err == nil {
				syscall.Bind(fd, &syscall.SockaddrUnix{Name: p.dir + "/made"})
				syscall.Close(fd)
				root.Rename("made", "left/left")
			}
			dir := fmt.Sprintf("%s/p/d%d", outer(), i)
			root.Mkdir(dir, 0o700)
			root.WriteFile(dir+"/precious", nil, 0o600)
			for _, link := range entries("group", "plugin") {
				root.Remove(link)
			}
		}
	}()
	io.Copy(io.Discard, os.Stdin)
}

// exchange swaps two files: rename(2), RENAME_EXCHANGE.
func exchange(a, b string) {
	number, ok := map[string]uintptr{"amd64": 316, "arm64": 276, "386": 353}[runtime.GOARCH]
	from, errA := syscall.BytePtrFromString(a)
	to, errB := syscall.BytePtrFromString(b)
	if !ok || errA != nil || errB != nil {
		panic("no exchange")
	}
	at := -0x64 // AT_FDCWD
	syscall.Syscall6(number, uintptr(at), uintptr(unsafe.Pointer(from)), uintptr(at), uintptr(unsafe.Pointer(to)), 2, 0)
}

// as makes a command run as a user who can reach only files that are open to everybody.
func as(cmd *exec.Cmd, uid int) *exec.Cmd {
	if uid != os.Geteuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	return cmd
}

// ownCopy returns a copy of this program that everybody can run.
func ownCopy(t *testing.T) string {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "tn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	program := filepath.Join(dir, "program")
	if err := errors.Join(os.WriteFile(program, self, 0o700), os.Chmod(program, 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	return program
}

// TestSwaps swaps everything that the operations work on, as another user if this is
// root, and as this user: nothing outside of the shared place may be touched.
func TestSwaps(t *testing.T) {
	program := ownCopy(t)
	for name, tc := range map[string]struct{ host, swapper int }{
		"the plugin is another user":   {0, nobody},
		"the plugin is this same user": {nobody, nobody},
	} {
		t.Run(name, func(t *testing.T) {
			if os.Geteuid() != 0 {
				if tc.host == 0 {
					t.Skip("only root can have a plugin of another user")
				}
				tc.host, tc.swapper = os.Geteuid(), os.Geteuid()
			}
			base := furnish(t, tc.host)
			before := picture(t, base)
			swapper := as(exec.Command(program), tc.swapper)
			swapper.Env = []string{swapperEnv + "=" + base, "GOMAXPROCS=1"}
			swapper.Dir = "/"
			stop, err := swapper.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := swapper.Start(); err != nil {
				t.Fatal(err)
			}
			var once sync.Once
			end := func() { once.Do(func() { stop.Close(); swapper.Process.Kill(); swapper.Wait() }) }
			defer end()
			if tc.host == os.Geteuid() {
				started := startPlugins(base, program, *starts)
				if t.Log(started); started["started"] == 0 || started["served"] == 0 {
					t.Errorf("of %d starts: %v", *starts, started)
				}
				went, err := operate(base, *rounds)
				if err != nil {
					t.Fatal(err)
				}
				t.Log(went)
				for _, what := range []string{"make", "make a directory in it", "give it away", "listen in the plugin's directory", "close that", "empty it", "remove it", "listen", "close", "remove", "listen by path", "close what listens by path", "replace a file"} {
					if went[what] == 0 {
						t.Errorf("%q never went well", what)
					}
				}
			} else {
				host := as(exec.Command(program, fmt.Sprintf("-rounds=%d", *rounds), fmt.Sprintf("-starts=%d", *starts)), tc.host)
				host.Env = []string{hostEnv + "=" + base}
				host.Dir = "/"
				out, err := host.CombinedOutput()
				if err != nil || !strings.HasSuffix(string(out), "<nil>\n") {
					t.Fatalf("%s, %v", out, err)
				}
				t.Logf("%s", out)
			}
			end()
			if after := picture(t, base); after != before {
				b, a := strings.Split(before, "\n"), strings.Split(after, "\n")
				lost := slices.DeleteFunc(slices.Clone(b), func(line string) bool { return slices.Contains(a, line) })
				new := slices.DeleteFunc(a, func(line string) bool { return slices.Contains(b, line) })
				t.Errorf("what is outside was touched; lost:\n%.2000s\nnew:\n%.2000s", strings.Join(lost, "\n"), strings.Join(new, "\n"))
			}
		})
	}
}
