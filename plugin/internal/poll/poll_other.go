//go:build !linux

// Package poll waits for events that the Go runtime's poller does not wait for: the end
// of a process, and the end of the other side of a descriptor that is only written to. It
// works only on Linux; elsewhere New fails with ErrUnsupported.
package poll

import (
	"errors"
	"os"
)

// ErrUnsupported reports that this system has no means to wait.
var ErrUnsupported = errors.ErrUnsupported

// Poller would wait for the first event on each of its descriptors.
type Poller struct{}

// New fails with ErrUnsupported.
func New() (*Poller, error) { return nil, ErrUnsupported }

// AddPeer is never called, since there is no Poller.
func (*Poller) AddPeer(fd, id int) error { return ErrUnsupported }

// AddProcess is never called, since there is no Poller.
func (*Poller) AddProcess(proc *os.Process, id int) error { return ErrUnsupported }

// Wait is never called, since there is no Poller.
func (*Poller) Wait() (ids []int, err error) { return nil, ErrUnsupported }

// Close is never called, since there is no Poller.
func (*Poller) Close() error { return ErrUnsupported }
