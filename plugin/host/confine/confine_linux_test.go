package confine_test

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
	"strings"
	"syscall"
	"testing"

	"github.com/tenonrpc/tenon/plugin/host/confine"
)

// attemptEnv makes this test binary try things and print the result of each.
const attemptEnv = "TN_ATTEMPT"

// attempts are what a plugin may try, by the first word of a line.
var attempts = map[string]func(arg string) error{
	"read":   func(path string) error { _, err := os.ReadFile(path); return err },
	"list":   func(path string) error { _, err := os.ReadDir(path); return err },
	"write":  func(path string) error { return os.WriteFile(path, []byte("mine"), 0o600) },
	"cut":    func(path string) error { return os.Truncate(path, 0) },
	"remove": os.Remove,
	"lead": func(paths string) error {
		from, to, _ := strings.Cut(paths, " ")
		return errors.Join(os.Rename(from, from+"-moved"), os.Symlink(to, from))
	},
	"run":    func(path string) error { return exec.Command(path).Run() },
	"child":  func(path string) error { return runAttempt("read " + path) },
	"listen": func(address string) error { return closed(net.Listen("tcp", address)) },
	"dial":   func(address string) error { return closed(net.Dial("tcp", address)) },
	"socket": func(path string) error { return closed(net.Listen("unix", path)) },
	"abstract": func(name string) error {
		return closed(net.Dial("unix", "@"+name))
	},
	"signal": func(string) error { return syscall.Kill(syscall.Getppid(), 0) },
	"privileges": func(string) error {
		const prGetNoNewPrivs = 39
		if v, _, _ := syscall.Syscall6(syscall.SYS_PRCTL, prGetNoNewPrivs, 0, 0, 0, 0, 0); v == 1 {
			return errors.New("no new privileges")
		}
		return nil
	},
	"pid":  func(string) error { return fmt.Errorf("%d", os.Getpid()) },
	"uid":  func(string) error { return fmt.Errorf("%d", os.Getuid()) },
	"euid": func(string) error { return fmt.Errorf("%d", os.Geteuid()) },
	"gain": func(program string) error {
		cmd := exec.Command(program)
		cmd.Env = []string{attemptEnv + "=euid"}
		out, err := cmd.CombinedOutput()
		if err == nil {
			err = errors.New("user " + strings.TrimSpace(string(out)))
		}
		return err
	},
	"interfaces": func(string) error {
		all, err := net.Interfaces()
		if err != nil {
			return err
		}
		return fmt.Errorf("%d", len(all))
	},
}

// attempt makes the attempt of a line.
func attempt(line string) error {
	what, arg, _ := strings.Cut(line, " ")
	for _, group := range []map[string]func(string) error{attempts, networkAttempts, terminalAttempts, callAttempts, processAttempts} {
		if f := group[what]; f != nil {
			return f(arg)
		}
	}
	return fmt.Errorf("%q is no attempt", what)
}

// closed closes what was opened.
func closed[C interface{ Close() error }](c C, err error) error {
	if err != nil {
		return err
	}
	return c.Close()
}

// runAttempt makes one attempt in a child process.
func runAttempt(line string) error {
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{attemptEnv + "=" + line}
	out, err := cmd.CombinedOutput()
	if err == nil && !bytes.HasPrefix(out, []byte("done")) {
		err = errors.New(strings.TrimSpace(string(out)))
	}
	return err
}

func TestMain(m *testing.M) {
	if lines := os.Getenv(attemptEnv); lines != "" {
		for line := range strings.SplitSeq(lines, "\n") {
			if err := attempt(line); err != nil {
				fmt.Println(err)
			} else {
				fmt.Println("done")
			}
		}
		syscall.Exit(0) // os.Exit makes the race detector sleep for a second
	}
	if os.Getenv(handshake.MagicCookieKey) != "" {
		servePlugin()
		return
	}
	if lines := os.Getenv(userEnv); lines != "" {
		os.Exit(asUser(lines))
	}
	os.Exit(m.Run())
}

// userEnv makes this test binary confine itself, with a user namespace, to make
// the attempts that it names.
const userEnv = "TN_USER"

func asUser(lines string) int {
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{attemptEnv + "=" + lines}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err := own(confine.Policy{Namespaces: confine.User | confine.PID | confine.IPC | confine.Network}).Start(cmd, "")
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// confined makes the attempts, one for each line, under a policy and returns their
// results.
func confined(t *testing.T, p *confine.Policy, socketDir string, lines ...string) []string {
	t.Helper()
	return outcomes(t, self(), func(cmd *exec.Cmd) error { return p.Start(cmd, socketDir) }, lines...)
}

// environment makes this test binary make the attempts.
func environment(lines ...string) []string {
	return []string{attemptEnv + "=" + strings.Join(lines, "\n")}
}

// outcomes makes the attempts in a command of this test binary, started by start.
func outcomes(t *testing.T, cmd *exec.Cmd, start func(*exec.Cmd) error, lines ...string) []string {
	t.Helper()
	cmd.Env = environment(lines...)
	var out bytes.Buffer
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	cmd.Stdout, cmd.Stderr = write, write
	err = start(cmd)
	write.Close()
	if err != nil {
		t.Fatal(err)
	}
	out.ReadFrom(read)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out.Bytes())
	}
	got := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(got) != len(lines) {
		t.Fatalf("%d attempts, and %d lines of output:\n%s", len(lines), len(got), out.Bytes())
	}
	return got
}

// own makes the test binary runnable under a policy: it may be linked to
// libraries, under the race detector for example.
func own(p confine.Policy) *confine.Policy {
	p.Read = append(p.Read, confine.Libraries()...)
	return &p
}

const denied = "permission denied"

func want(t *testing.T, lines, got, want []string) {
	t.Helper()
	for i := range lines {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("%s: %s, want %s", lines[i], got[i], want[i])
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(parts ...string) string {
		path := filepath.Join(append([]string{dir}, parts...)...)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("text"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	secret, shown, given := file("secret"), file("shown", "file"), file("given", "file")
	script := filepath.Join(dir, "given", "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	sockets := filepath.Join(dir, "sockets")
	if err := os.Mkdir(sockets, 0o700); err != nil {
		t.Fatal(err)
	}
	p := own(confine.Policy{Read: []string{filepath.Dir(shown)}, Write: []string{filepath.Dir(given)}})
	lines := []string{
		"read " + secret, "write " + secret, "cut " + secret, "remove " + secret, "list " + dir, "child " + secret, "write " + filepath.Join(dir, "new"),
		"read " + shown, "write " + shown, "list " + filepath.Dir(shown), "child " + shown,
		"read " + given, "write " + given, "remove " + given, "write " + given + "2", "run " + script,
		"socket " + filepath.Join(sockets, "s"), "socket " + filepath.Join(dir, "s"),
	}
	want(t, lines, confined(t, p, sockets, lines...), []string{
		denied, denied, denied, denied, denied, denied, denied,
		"done", denied, "done", "done",
		"done", "done", "done", "done", denied,
		"done", denied,
	})
	if b, err := os.ReadFile(secret); err != nil || string(b) != "text" {
		t.Errorf("the secret is %q, %v", b, err)
	}
}

func TestOtherProcesses(t *testing.T) {
	name := fmt.Sprintf("tn-confine-%d", os.Getpid())
	l, err := net.Listen("unix", "@"+name)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	lines := []string{"signal", "abstract " + name, "privileges"}
	want(t, lines, confined(t, own(confine.Policy{}), "", lines...), []string{"operation not permitted", "operation not permitted", "no new privileges"})
	want(t, lines, confined(t, own(confine.Policy{AllowSignals: true}), "", lines...), []string{"done", "done", "no new privileges"})
}

// A program with the set-user-id bit runs as its owner. Under a Policy it does not.
func TestSetUserID(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make programs of root's with the set-user-id bit")
	}
	dir, err := os.MkdirTemp("/tmp", "") // all above it can be passed by everyone
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	program, user := filepath.Join(dir, "root"), filepath.Join(dir, "user")
	for path, mode := range map[string]fs.FileMode{program: 0o755 | fs.ModeSetuid, user: 0o755} {
		if err := errors.Join(os.WriteFile(path, self, 0o700), os.Chmod(path, mode), os.Chmod(dir, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	policy := own(confine.Policy{Read: []string{dir}})
	for _, tc := range []struct {
		start func(*exec.Cmd) error
		want  string
	}{
		{(*exec.Cmd).Start, "user 0"},
		{func(cmd *exec.Cmd) error { return policy.Start(cmd, "") }, "user 65534"},
	} {
		var out bytes.Buffer
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(user)
		cmd.Env = []string{attemptEnv + "=gain " + program}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		cmd.Stdout, cmd.Stderr = write, write
		err = tc.start(cmd)
		write.Close()
		if err != nil {
			t.Fatal(err)
		}
		out.ReadFrom(read)
		read.Close()
		cmd.Wait()
		if got := strings.TrimSpace(out.String()); got != tc.want {
			t.Errorf("a program of root's runs as %s, want %s", got, tc.want)
		}
	}
}

func TestNamespaces(t *testing.T) {
	lines := []string{"pid", "uid", "interfaces"}
	if os.Getuid() == 0 {
		got := confined(t, own(confine.Policy{Namespaces: confine.PID | confine.IPC | confine.Network}), "", lines...)
		want(t, lines, got, []string{"1", "0", "1"})
	}

	// As any user, in a user namespace.
	cmd := ordinary(t)()
	uid := os.Getuid()
	if uid == 0 {
		uid = nobody
	}
	cmd.Env = []string{userEnv + "=" + strings.Join(lines, "\n")}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want(t, lines, strings.Split(string(out), "\n"), []string{"1", fmt.Sprint(uid), "1"})
}

const nobody = 65534

// ordinary returns a maker of commands of this test binary that do not run as root.
func ordinary(t *testing.T) func() *exec.Cmd {
	if os.Getuid() != 0 {
		return self
	}
	program := readableCopy(t, os.Args[0])
	return func() *exec.Cmd {
		cmd := exec.Command(program)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		cmd.Dir = "/"
		return cmd
	}
}

func self() *exec.Cmd { return exec.Command(os.Args[0]) }

// readableCopy returns a copy of a program that every user can execute.
func readableCopy(t *testing.T, program string) string {
	dir, err := os.MkdirTemp("", "tn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b, err := os.ReadFile(program)
	if err == nil {
		err = errors.Join(os.Chmod(dir, 0o755), os.WriteFile(dir+"/p", b, 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir + "/p"
}

// TestHostKeepsItsRights starts confined programs one after the other and concurrently,
// and checks whether any goroutine of this process has lost a right.
func TestHostKeepsItsRights(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const starts = 20
	lost := make(chan error, 2*starts)
	for range starts {
		go func() {
			cmd := exec.Command(os.Args[0])
			cmd.Env = []string{attemptEnv + "=read " + secret}
			if err := own(confine.Policy{}).Start(cmd, ""); err != nil {
				lost <- err
				return
			}
			lost <- cmd.Wait()
		}()
		go func() {
			_, err := os.ReadFile(secret)
			lost <- err
		}()
	}
	for range 2 * starts {
		if err := <-lost; err != nil {
			t.Error(err)
		}
	}
	// A thread is still there for a moment when its goroutine has ended.
	var left []string
	for range 10_000 {
		if left = restricted(t); len(left) == 0 {
			return
		}
		runtime.Gosched()
	}
	t.Errorf("threads that have given up privileges are still there: %v", left)
}

// restricted returns the threads of this process that have given up privileges.
func restricted(t *testing.T) (out []string) {
	tasks, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil || len(tasks) == 0 {
		t.Fatalf("no threads found: %v", err)
	}
	for _, task := range tasks {
		b, err := os.ReadFile(task)
		if err == nil && bytes.Contains(b, []byte("NoNewPrivs:\t1")) {
			out = append(out, task)
		}
	}
	return out
}

func TestCgroup(t *testing.T) {
	for _, tt := range []struct{ dir, want string }{
		{filepath.Join(t.TempDir(), "none"), "no such file"},
		{t.TempDir(), "no control group of version 2"},
	} {
		err := own(confine.Policy{Cgroup: tt.dir}).Start(exec.Command(os.Args[0]), "")
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error with %q", tt.dir, err, tt.want)
		}
	}
	parent := ""
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if _, err := os.Stat(dir + "/cgroup.procs"); err == nil && parent == "" {
			parent = dir
		}
	}
	dir := filepath.Join(parent, fmt.Sprintf("tn-confine-%d", os.Getpid()))
	if parent == "" {
		t.Skip("no control groups of version 2 are mounted")
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
			t.Skip("control groups cannot be made here: ", err)
		}
		t.Fatal(err)
	}
	defer func() {
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	}()
	lines := []string{"read /proc/self/cgroup", "call - clone3 zeros 0"} // the start needs that call
	want(t, lines, confined(t, own(confine.Policy{Cgroup: dir, Read: []string{"/proc"}}), "", lines...), []string{"done", "invalid argument"})
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	cat := exec.Command("/bin/cat", "/proc/self/cgroup")
	cat.Stdout = write
	err = own(confine.Policy{Cgroup: dir, Read: []string{"/proc"}}).Start(cat, "")
	write.Close()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	out.ReadFrom(read)
	if err := cat.Wait(); err != nil || !strings.Contains(out.String(), "0::/"+filepath.Base(dir)+"\n") {
		t.Errorf("the process was in\n%s (%v), want it in %s", out.String(), err, dir)
	}
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		name   string
		policy confine.Policy
		cmd    *exec.Cmd
		want   string
	}{
		{"no such program", confine.Policy{}, exec.Command("/no/such/program"), "the plugin's own program: open /no/such/program: no such file"},
		{"no such path to read", confine.Policy{Read: []string{"/no/such"}}, nil, "Policy.Read: open /no/such: no such file"},
		{"no such path to write", confine.Policy{Write: []string{"/no/such"}}, nil, "Policy.Write: open /no/such: no such file"},
		{"ports and AllowTCP", confine.Policy{AllowTCP: true, ListenTCP: []uint16{1}}, nil, "must be empty"},
		{"ports to connect to and none to listen on", confine.Policy{ConnectTCP: []uint16{443}}, nil, "add port 0, which stands for those ports, to ListenTCP to accept that; or leave both empty, or set Policy.AllowTCP"},
		{"a port to listen on and not those of the system's choice", confine.Policy{ListenTCP: []uint16{80}}, nil, "add port 0"},
		{"port 0 to connect to", confine.Policy{ConnectTCP: []uint16{0}}, nil, "add port 0"},
		{"unknown namespaces", confine.Policy{Namespaces: 1 << 10}, nil, "unknown bits"},
		{"a user of its own", confine.Policy{Namespaces: confine.User}, &exec.Cmd{Path: os.Args[0], SysProcAttr: &syscall.SysProcAttr{Credential: &syscall.Credential{}}}, "Policy.Namespaces has User"},
		{"a signal when the thread ends", confine.Policy{}, &exec.Cmd{Path: os.Args[0], SysProcAttr: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}}, "SysProcAttr.Pdeathsig is sent when the thread that started the plugin ends"},
		{"two control groups", confine.Policy{Cgroup: "/"}, &exec.Cmd{Path: os.Args[0], SysProcAttr: &syscall.SysProcAttr{UseCgroupFD: true}}, "UseCgroupFD"},
	} {
		cmd := tt.cmd
		if cmd == nil {
			cmd = exec.Command(os.Args[0])
		}
		err := tt.policy.Start(cmd, "")
		if err == nil || !strings.HasPrefix(err.Error(), "confine: ") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error with %q", tt.name, err, tt.want)
		}
		if cmd.Process != nil {
			t.Errorf("%s: a process was started", tt.name)
			cmd.Process.Kill()
			cmd.Wait()
		}
	}
}
