//go:build unix

package host

import (
	"errors"
	"os"
	"sync"
	"syscall"

	"github.com/tenonrpc/tenon/plugin/internal/poll"
)

// checkGroup returns an error if a plugin with these attributes cannot have a process
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

// processGroup is the handle of a process that has a process group of its own: signals
// go to the whole group, and the group ends with the process.
//
// A group's number is safe to signal only while its leader is in the process table;
// after that it may belong to another group. So nothing is signalled once the leader
// may have been removed from it.
type processGroup struct {
	command
	mu     sync.Mutex
	reaped bool // guarded by mu; set just before or after the leader is reaped
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
	// On systems other than Linux the end cannot be waited for without removing the
	// leader from the table. The group is killed right after that: for its number to
	// belong to another group by then, all other numbers would have to be used up in
	// between.
	status := g.command.wait()
	g.endGroup()
	return status
}

// endGroup kills what is left of the group.
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
