package host

import "syscall"

// checkGroup allows everything: see job.
func checkGroup(*syscall.SysProcAttr) error { return nil }

// ownGroup returns attr: every plugin has a process group, for terminate.
func ownGroup(attr *syscall.SysProcAttr) *syscall.SysProcAttr { return attr }

// processGroup is the handle of a process that is in one job with all that it starts:
// they end with it.
type processGroup struct{ command }

func (g *processGroup) kill() { g.job.terminate() }

func (g *processGroup) wait() ExitStatus {
	g.cmd.Wait() // its error repeats ProcessState
	g.job.terminate()
	g.job.close()
	return exitStatus(g.cmd.ProcessState)
}
