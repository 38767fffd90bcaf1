package app_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"
)

// TestDebug runs what plugin/DEBUGGING.md shows, but for the debugger: a plugin that
// waits for hosts, which attach by a variable of the application's own, and one that
// a host leaves running, with its record in a file.
func TestDebug(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no SIGINT to send")
	}
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "bin")+string(filepath.Separator), "./debug/...")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", build, err, out)
	}
	temp, err := os.MkdirTemp("", "tn")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(temp)
	env := append(os.Environ(), "TMPDIR="+temp)
	greet := func(want, variable string, args ...string) {
		t.Helper()
		cmd := exec.Command(filepath.Join(dir, "bin", "greet"), args...)
		cmd.Dir, cmd.Env = dir, append(env, "GREET_REATTACH="+variable)
		if out, err := cmd.CombinedOutput(); !regexp.MustCompile(want).Match(out) {
			t.Errorf("greet %v ends with %v and says:\n%s\nwant:\n%s", args, err, out, want)
		}
	}

	cmd := exec.Command(filepath.Join(dir, "bin", "greet-plugin"), "-debug")
	cmd.Env, cmd.Stderr = env, os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	m := regexp.MustCompile(`^export GREET_REATTACH='(.*)'\n$`).FindStringSubmatch(line)
	if m == nil {
		cmd.Process.Kill()
		cmd.Wait()
		t.Fatalf("the plugin says %q, %v", line, err)
	}
	greet("^Hello, tenon!\n$", m[1])
	greet("^Hello, tenon!\n$", m[1])
	greet(`GREET_REATTACH has no plugin "greeter"`, "{}")
	cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the plugin ends with %v", err)
	}
	greet("the plugin is no longer running", m[1])

	greet(`^Hello, tenon!\nprocess \d+\n$`, "", "-keep", "greet.json")
	greet(`^Hello, tenon!\nprocess \d+\n$`, "", "-record", "greet.json", "-keep", "greet.json")
	greet("^Hello, tenon!\n$", "", "-record", "greet.json")
	greet("the plugin is no longer running", "", "-record", "greet.json")
}
