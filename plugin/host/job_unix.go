//go:build unix

package host

import "os/exec"

// job is nothing: it is for Windows, where no signal goes to a group.
type job struct{}

func newJob(*settings, *exec.Cmd) (job, error) { return job{}, nil }
func (job) adopt(*exec.Cmd) error              { return nil }
func (job) close()                             {}
