package host

import "syscall"

// checkGroup has no objection: see job.
func checkGroup(*syscall.SysProcAttr) error { return nil }

// ownGroup returns attr: every plugin has a process group, which is for terminate.
func ownGroup(attr *syscall.SysProcAttr) *syscall.SysProcAttr { return attr }

// processGroup is the handle of a process with all that it starts in one job: it is
// ended with it.
type processGroup struct{ command }

func (g *processGroup) kill() { g.job.terminate() }

func (g *processGroup) wait() ExitStatus {
	g.cmd.Wait() // its error repeats ProcessState
	g.job.terminate()
	g.job.close()
	return exitStatus(g.cmd.ProcessState)
}
