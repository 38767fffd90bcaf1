//go:build unix

package plugin_test

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/tenonrpc/tenon/wire"
)

// lifeline is a pipe that ends a plugin, and its value for the plugin's environment.
type lifeline struct {
	host, plugin *os.File
	env          string
}

func newLifeline(t *testing.T) *lifeline {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	info, err := r.Stat()
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	id := wire.Lifeline{FD: 3, Device: uint64(st.Dev), Inode: uint64(st.Ino)}
	return &lifeline{w, r, wire.EnvLifeline + "=" + string(id.Append(nil))}
}

// inherits passes files to the next child that is launched.
func inherits(files ...*os.File) func(*exec.Cmd) {
	return func(cmd *exec.Cmd) { cmd.ExtraFiles = files }
}

func TestLifelineEndsThePlugin(t *testing.T) {
	life := newLifeline(t)
	c := startWith(t, "plugin", inherits(life.plugin), life.env)
	c.tell("print hello")
	life.host.Write([]byte("what a later version may have to say"))
	c.tell("print hello again")
	gone := prompt(t)
	life.host.Close()
	c.wantEnd(0)
	gone()
}

func TestLifelineEndsCallsInProgress(t *testing.T) {
	life := newLifeline(t)
	c := startWith(t, "plugin", inherits(life.plugin), life.env)
	failed := make(chan error)
	go func() {
		_, err := echo(deadline(t), c.cc, "hang")
		failed <- err
	}()
	if line, err := bufio.NewReader(c.stderrR).ReadString('\n'); line != "hanging\n" {
		t.Fatalf("%q, %v", line, err)
	}
	gone := prompt(t)
	life.host.Close()
	if err := <-failed; err == nil {
		t.Error("the call went well")
	}
	c.wantEnd(0)
	gone()
}

// TestLifelineEndsWhatIsStuck has plugins that cannot return to main, or whose
// main does not return.
func TestLifelineEndsWhatIsStuck(t *testing.T) {
	for _, mode := range []string{"stuck", "slow-main"} {
		t.Run(mode, func(t *testing.T) {
			life := newLifeline(t)
			in, out, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			defer out.Close()
			c := launchWith(t, mode, func(cmd *exec.Cmd) {
				cmd.ExtraFiles = []*os.File{life.plugin}
				cmd.Stdin = in
			}, cookie, life.env)
			if mode == "stuck" {
				if line, err := bufio.NewReader(c.stderrR).ReadString('\n'); line != "registering\n" {
					t.Fatalf("%q, %v", line, err)
				}
			} else if _, err := c.stdout.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			gone := prompt(t)
			life.host.Close()
			c.wantEnd(1)
			gone()
		})
	}
}

// TestLifelineIsFollowedTillTheEnd has a main that does not return after the
// plugin has been shut down.
func TestLifelineIsFollowedTillTheEnd(t *testing.T) {
	life := newLifeline(t)
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer out.Close()
	c := startWith(t, "slow-main", func(cmd *exec.Cmd) {
		cmd.ExtraFiles = []*os.File{life.plugin}
		cmd.Stdin = in
	}, life.env)
	c.shutdown()
	if line, err := bufio.NewReader(c.stderrR).ReadString('\n'); line != "served\n" {
		t.Fatalf("%q, %v", line, err)
	}
	gone := prompt(t)
	life.host.Close()
	c.wantEnd(1)
	gone()
}

func TestOutlivingTheHost(t *testing.T) {
	life := newLifeline(t)
	for name, start := range map[string]func(*testing.T) *child{
		"OutliveHost": func(t *testing.T) *child { return startWith(t, "outlive", inherits(life.plugin), life.env) },
		"detached":    func(t *testing.T) *child { return start(t, "plugin", wire.EnvLifeline+"="+wire.LifelineNone) },
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t)
			c.tell("print hello")
			// Nothing of the host exists any more.
			c.cc.Close()
			life.host.Close()
			c.stdoutR.Close()
			c.stderrR.Close()
			c.outlast()
			// The next host can use the plugin.
			c.connect()
			c.tell("print hello")
			c.shutdown()
			c.wantEnd(0)
		})
	}
}

// TestParentEnds has a shell between host and plugin, which exits, and a reader of the
// plugin's output that stays.
func TestParentEnds(t *testing.T) {
	c := launchWith(t, "plugin", func(cmd *exec.Cmd) {
		cmd.Args = []string{"sh", "-c", `"$0" & wait`, os.Args[0]}
		cmd.Path = "/bin/sh"
	}, cookie)
	c.readHandshake()
	c.connect()
	c.tell("print hello")
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-c.reaped
	c.tell("print hello") // it is connected, and may be for as long as it likes
	gone := prompt(t)
	c.cc.Close()
	// The plugin is a grandchild, so its end shows as the end of its output.
	if _, err := io.Copy(io.Discard, c.stdout); err != nil {
		t.Error(err)
	}
	gone()
	c.wait()
	if entries, err := os.ReadDir(c.dir); err != nil || len(entries) != 0 {
		t.Errorf("the plugin left %v (%v)", entries, err)
	}
}
