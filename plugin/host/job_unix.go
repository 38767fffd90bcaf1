//go:build unix

package host

import "os/exec"

// job does nothing: it is for Windows, where signals do not go to groups.
type job struct{}

func newJob(*settings, *exec.Cmd) (job, error) { return job{}, nil }
func (job) adopt(*exec.Cmd) error              { return nil }
func (job) close()                             {}
