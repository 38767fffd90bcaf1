package host_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/host/fleet"
	"github.com/tenonrpc/tenon/plugin/host/verify"
)

// jobEnv chooses the plugin of the host of TestPluginsEndWithTheirHost.
const jobEnv = "TN_JOB"

func init() {
	// A plugin that never gets as far as serving, and so detects nothing by itself.
	fakes["stuck-with-a-child"] = func() {
		self, _ := os.Executable()
		child := exec.Command(self)
		child.Env = append(os.Environ(), fakeEnv+"=silent")
		child.Stdin, child.Stderr = os.Stdin, os.Stderr
		must(child.Start())
		fmt.Fprintln(os.Stderr, "[INFO] pids", os.Getpid(), child.Process.Pid)
		linger()
	}
	hosts["job"] = func() {
		self, err := os.Executable()
		must(err)
		cmd := exec.Command(self)
		cmd.Stdin = os.Stdin
		what := os.Getenv(jobEnv)
		_, err = host.Start(context.Background(), &host.Config{
			Handshake: shake, Cmd: cmd, Env: []string{fakeEnv + "=stuck-with-a-child"},
			ProcessGroup: what == "group", Detach: what == "detached",
		})
		must(err) // it takes longer than the test
	}
}

// runs reports whether a process has not ended.
func runs(t *testing.T, p *os.Process) (yes bool) {
	t.Helper()
	err := p.WithHandle(func(h uintptr) {
		event, err := syscall.WaitForSingleObject(syscall.Handle(h), 0)
		yes = err == nil && event == syscall.WAIT_TIMEOUT
	})
	if err != nil {
		t.Fatal(err)
	}
	return yes
}

// TestPluginsEndWithTheirHost kills hosts. The system ends their plugins and, with
// ProcessGroup, what those have started, but not plugins that are to outlive them.
func TestPluginsEndWithTheirHost(t *testing.T) {
	for what, want := range map[string]struct{ plugin, child bool }{
		"plugin":   {false, true},
		"group":    {false, false},
		"detached": {true, true},
	} {
		t.Run(what, func(t *testing.T) {
			noLeaks(t)
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			in, hold := pipe(t)
			errR, errW := pipe(t)
			cmd := exec.Command(self)
			cmd.Env = append(os.Environ(), hostEnv+"=job", jobEnv+"="+what)
			cmd.Stdin, cmd.Stderr = in, errW
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			errW.Close()
			in.Close()
			var pids [2]int
			for log := bufio.NewScanner(errR); pids[1] == 0; {
				if !log.Scan() {
					t.Fatalf("the plugin says nothing: %v", log.Err())
				}
				_, said, _ := strings.Cut(log.Text(), " pids ")
				fmt.Sscan(said, &pids[0], &pids[1])
			}
			var procs [2]*os.Process
			for i, pid := range pids {
				if procs[i], err = os.FindProcess(pid); err != nil {
					t.Fatal(err)
				}
				defer procs[i].Release()
			}
			cmd.Process.Kill()
			cmd.Wait()
			for i, lives := range []bool{want.plugin, want.child} {
				if !lives {
					within(t, ample, "the end", func() { procs[i].Wait() })
				} else if !runs(t, procs[i]) {
					t.Errorf("process %d of %v has ended, too", i, pids)
				}
			}
			hold.Close() // ends what lives on
			for _, p := range procs {
				within(t, ample, "the end", func() { p.Wait() })
			}
		})
	}
}

// TestTheJobEndsTheGroup has plugins that leave a child behind.
func TestTheJobEndsTheGroup(t *testing.T) {
	for name, end := range map[string]func(*host.Client){
		"Close":              func(c *host.Client) { c.Close() },
		"Kill":               func(c *host.Client) { c.Kill() },
		"the plugin's doing": func(c *host.Client) { do(t.Context(), c, "exit") },
		"its unexpected end": func(c *host.Client) { killProcess(c.PID()) },
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			in, hold := pipe(t)
			defer hold.Close()
			cfg := fakeConfig(t, "good")
			cfg.Cmd.Stdin = in
			cfg.ProcessGroup = true
			c := start(t, cfg)
			in.Close()
			if _, err := do(t.Context(), c, "leave-a-child"); err != nil {
				t.Fatal(err)
			}
			end(c)
			<-c.Done()
			// Nobody has its stdin any more.
			within(t, ample, "the child's end", func() {
				for err := error(nil); err == nil; {
					_, err = hold.Write([]byte("x"))
				}
			})
		})
	}
}

// TestNamesOfPrograms has names that programs may have on Windows: with spaces, with
// letters of any script, and without extension.
func TestNamesOfPrograms(t *testing.T) {
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "Über 日本 дом & co")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "my plugin ä.exe")
	if err := os.WriteFile(path, self, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*host.Config){
		"whole":             func(c *host.Config) { c.Cmd = exec.Command(path) },
		"without an ending": func(c *host.Config) { c.Cmd = exec.Command(strings.TrimSuffix(path, ".exe")) },
		"in PATH": func(c *host.Config) {
			t.Setenv("PATH", dir)
			c.Cmd = exec.Command("my plugin ä")
		},
		"verified": func(c *host.Config) {
			c.Cmd = exec.Command(strings.TrimSuffix(path, ".exe"))
			c.Verify = verify.SHA256(sumOf(t, path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			cfg := fakeConfig(t, "good")
			change(cfg)
			cfg.Cmd.Stdin = alive
			cfg.Cmd.Args = append(cfg.Cmd.Args, `an "argument" with all \`, "ä 日本")
			cfg.Cmd.Dir = dir
			cfg.Env = append(cfg.Env, "TN_WORD=日本 ä")
			c := start(t, cfg)
			if got, err := do(t.Context(), c, "echo here"); err != nil || got != "here" {
				t.Errorf("got %q, %v", got, err)
			}
			closes(t, c)
		})
	}
	if got, err := fleet.Discover(dir, "my plugin*"); err != nil || len(got) != 1 || filepath.Base(got[0]) != filepath.Base(path) {
		t.Errorf("Discover found %q, %v", got, err)
	}
}
