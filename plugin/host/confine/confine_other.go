//go:build !linux

package confine

import (
	"errors"
	"os/exec"
)

func (p *Policy) start(*exec.Cmd, string) error {
	return errors.New("confine: this system has no Landlock: plugins can be confined only on Linux")
}

func libraries() []string { return nil }
