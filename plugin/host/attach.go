package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/tenonrpc/tenon/plugin/internal/automtls"
	"github.com/tenonrpc/tenon/plugin/internal/procid"
	"github.com/tenonrpc/tenon/wire"
)

// settleReattach checks a record.
func settleReattach(c *Config, s *settings) error {
	r := *c.Reattach
	// The record may come from anywhere: it is checked like one that was read.
	checked, err := parseRecord(appendRecord(nil, &r))
	switch {
	case err != nil:
		return fmt.Errorf("Reattach: %w", err)
	case r.Multiplexed || c.Multiplex:
		return errors.New("Reattach: a plugin that multiplexes serves one connection only, and has ended with it; leave Multiplex unset for plugins that are to be attached to again")
	case c.Detach || c.ProcessGroup:
		return errors.New("Reattach: Detach and ProcessGroup say how to launch a plugin; this one was launched by another host")
	}
	s.target.reattach = checked
	if r.ProtocolVersion == 0 && s.versions[0] == nil {
		s.target.reattach.ProtocolVersion = c.ProtocolVersion
	}
	return nil
}

// attachHint is what to do if the plugin to attach to has ended.
const attachHint = "start the plugin anew"

// attach is done instead of launching a plugin and reading its handshake.
func (c *Client) attach() error {
	s, r := c.settings, c.settings.target.reattach
	h, err := openAttached(r)
	if err != nil {
		return &problem{StageAttach, attachHint, fmt.Errorf("pid %d: %w", r.PID, err)}
	}
	p := newProcess("")
	p.pid = r.PID
	p.logTo(s.logger.With("plugin", "attached", "pid", p.pid))
	p.handle = h
	p.stdout, p.stderr = noPipe{}, noPipe{}
	close(p.stdoutDone)
	close(p.stderrDone)
	c.proc = p
	go p.reap()

	if r.Network == wire.NetworkUnix {
		c.socket = r.Address
		c.holdAttached()
	}
	if r.Test && len(r.Certificate) == 0 && s.autoMTLS() {
		return &problem{StageCheck,
			"set InsecurePlaintext to attach to it; it is only for tests and debuggers",
			errors.New("the record is that of a plugin in test mode, which serves without TLS")}
	}
	c.terms, err = check(s, wire.Handshake{
		AppVersion:  r.ProtocolVersion,
		Network:     r.Network,
		Address:     r.Address,
		Protocol:    r.Protocol,
		Certificate: r.Certificate,
	})
	if err != nil || !s.autoMTLS() {
		return err
	}
	if len(r.HostKey) == 0 {
		return &problem{StageCheck,
			"keep the record of Client.ReattachWithKey",
			errors.New("the record lacks the key by which the plugin recognises its host")}
	}
	if c.identity, err = automtls.Restore(r.HostCertificate, r.HostKey); err != nil {
		return &problem{stage: StageCheck, err: err}
	}
	return nil
}

// noPipe replaces the streams of a process that was not launched here.
type noPipe struct{}

func (noPipe) Read([]byte) (int, error) { return 0, io.EOF }
func (noPipe) Close() error             { return nil }

// attached is the handle of a process that another host has launched.
//
// It must never signal an unrelated process that has received the plugin's process id
// since. So it first opens a handle of the process (a pidfd on Linux), then compares
// its start time with the record's, and signals through the handle. If the record has
// no start time, or the system no such handles, the process is never signalled.
type attached struct {
	proc  *os.Process
	known bool // proc is certainly the plugin
	test  bool // the plugin belongs to a test, and must not be ended

	once sync.Once
	quit chan struct{} // closed by letGo
}

// openAttached opens a handle of a record's process.
func openAttached(r *Reattach) (*attached, error) {
	proc, err := os.FindProcess(r.PID)
	if err != nil || !running(proc) || procid.Ended(r.PID) {
		return nil, ErrNotRunning
	}
	h := &attached{proc: proc, test: r.Test, quit: make(chan struct{})}
	if r.StartTime == 0 || r.BootID == "" {
		return h, nil
	}
	id, ok := procid.Of(r.PID)
	switch {
	case !running(proc):
		// procid.Of may have looked at another process.
		return nil, ErrNotRunning
	case ok && id != procid.ID{StartTime: r.StartTime, BootID: r.BootID}:
		return nil, fmt.Errorf("%w, and its process id belongs to another process", ErrNotRunning)
	}
	h.known = ok && proc.WithHandle(func(uintptr) {}) == nil
	return h, nil
}

func (h *attached) wait() ExitStatus {
	if awaitExit(h.proc, h.quit) {
		return ExitStatus{Ended: true, Code: -1}
	}
	return ExitStatus{}
}

func (h *attached) mayKill() bool { return h.known && !h.test }

func (h *attached) terminate() bool {
	return h.mayKill() && h.proc.Signal(syscall.SIGTERM) == nil
}

func (h *attached) kill() {
	if h.mayKill() {
		h.proc.Kill()
	}
}

func (h *attached) letGo() { h.once.Do(func() { close(h.quit) }) }

// pollExit waits for a process's end by checking it every exitInterval. It returns
// false if quit is closed first.
func pollExit(proc *os.Process, quit <-chan struct{}) bool {
	ticker := time.NewTicker(exitInterval)
	defer ticker.Stop()
	for running(proc) {
		select {
		case <-ticker.C:
		case <-quit:
			return false
		}
	}
	return true
}
