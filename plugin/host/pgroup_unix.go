//go:build unix

package host

import (
	"errors"
	"os"
	"sync"
	"syscall"

	"github.com/tenonrpc/tenon/plugin/internal/poll"
)

// checkGroup reports whether a plugin with these attributes can have a process
// group of its own.
func checkGroup(attr *syscall.SysProcAttr) error {
	if attr != nil && attr.Setpgid && attr.Pgid != 0 {
		return errors.New("ProcessGroup asks for a group of the plugin's own, and Cmd.SysProcAttr.Pgid for another")
	}
	return nil
}

// ownGroup returns attributes that give the plugin a process group of its own.
func ownGroup(attr *syscall.SysProcAttr) *syscall.SysProcAttr {
	own := new(syscall.SysProcAttr)
	if attr != nil {
		*own = *attr
	}
	// The first process of a session leads a group already.
	own.Setpgid = !own.Setsid
	return own
}

// processGroup is the handle of a process with a process group of its own: what it is
// told, its group is told, and the group ends with it.
//
// The number of a group is good for signals only while its leader is in the
// process table; after that it may be another's. So nothing is signalled once
// the leader may have been taken out of it.
type processGroup struct {
	command
	mu     sync.Mutex
	reaped bool // guarded by mu; also if it is about to be
}

func (g *processGroup) signal(sig syscall.Signal) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.reaped && syscall.Kill(-g.cmd.Process.Pid, sig) == nil
}

func (g *processGroup) terminate() bool { return g.signal(syscall.SIGTERM) }
func (g *processGroup) kill()           { g.signal(syscall.SIGKILL) }

func (g *processGroup) wait() ExitStatus {
	if awaitEnd(g.cmd.Process.Pid) == nil {
		g.endGroup()
		return g.command.wait()
	}
	// Elsewhere than on Linux the end cannot be waited for without taking the
	// leader out of the table. The group is told at once after that: for its
	// number to be another's by then, all others would have to be used up in
	// between.
	status := g.command.wait()
	g.endGroup()
	return status
}

// endGroup kills what the leader has left behind.
func (g *processGroup) endGroup() {
	g.mu.Lock()
	defer g.mu.Unlock()
	syscall.Kill(-g.cmd.Process.Pid, syscall.SIGKILL)
	g.reaped = true
}

// awaitEnd waits for the end of a child and leaves it in the process table.
func awaitEnd(pid int) error {
	poller, err := poll.New()
	if err != nil {
		return err
	}
	defer poller.Close()
	proc, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	if err := poller.AddProcess(proc, 0); err != nil {
		return err
	}
	_, err = poller.Wait()
	return err
}
