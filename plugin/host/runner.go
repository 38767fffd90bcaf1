package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/tenonrpc/tenon/plugin/internal/hostwire"
	"github.com/tenonrpc/tenon/wire"
)

// Runner launches plugins in another way than as child processes: in a
// sandbox, in a container, through a service manager. It has the parts of
// go-plugin's runners, so that those are easily adapted.
//
// A Runner may be used by several Starts at once.
type Runner interface {
	// Run launches the plugin. ctx bounds the launch and not the life of the
	// plugin. If it fails nothing may be left behind.
	Run(ctx context.Context, launch *Launch) (Process, error)
}

// Launch is what a Runner launches a plugin with. The Runner may keep and
// change it.
type Launch struct {
	// Env is the whole environment of the plugin, as "NAME=value" entries.
	Env []string
	// SocketDir is the directory in which the plugin is to make its sockets and
	// finds the host's; it must be reachable by the plugin, and is removed with
	// it. Env names it to the plugin. It is "" if none could be made, and on Windows
	// unless Sockets.TempDir is set: a plugin on TCP does without. For a plugin that sees it elsewhere, see SetSocketDir.
	SocketDir string
	// Files are to be inherited by the plugin, from descriptor 3 on, and on Windows
	// as handles of the same numbers (SysProcAttr.AdditionalInheritedHandles). They
	// stay the host's to close. A Runner that cannot do that leaves them out;
	// the plugin then recognises the end of its host by other signs, and sends what
	// it prints over the connection.
	Files []*os.File
	// Logger is Config.Logger.
	Logger *slog.Logger
}

// SetSocketDir changes the path under which the plugin sees SocketDir. The
// Process must translate addresses accordingly.
func (l *Launch) SetSocketDir(dir string) {
	l.Env = mergeEnv(l.Env, hostwire.AppendEnv(nil, wire.Env{UnixSocketDir: dir}))
}

// Process is a plugin that a Runner has launched. Any goroutine may call any
// method at any time; each of Stdout, Stderr and Wait is called once.
//
// A Process may also have a method Signal(os.Signal) error. A plugin that does
// not end when it is asked to is then sent SIGTERM before it is killed.
type Process interface {
	// Name says what runs, for messages: the path of the program, for example.
	Name() string
	// ID says which one it is, for messages: a process or container id.
	ID() string
	// Stdout and Stderr return what the plugin writes. They end with the
	// plugin; closing them ends a Read in progress.
	Stdout() io.ReadCloser
	Stderr() io.ReadCloser
	// Wait waits for the plugin's end. It returns nil if the plugin's exit
	// status is 0, an error with an *exec.ExitError for another, and any other
	// error if it is not known. ctx never ends unless the plugin is let go.
	Wait(ctx context.Context) error
	// Kill ends the plugin, and whatever it was launched with, at once.
	Kill(ctx context.Context) error
	// Diagnose says what may help to find out why the plugin could not be
	// started, "" if there is nothing to say.
	Diagnose(ctx context.Context) string
	// PluginToHost and HostToPlugin translate the address of a socket as the
	// plugin sees it into what the host can dial, and the other way round.
	// network is "unix" or "tcp".
	PluginToHost(network, address string) (hostNetwork, hostAddress string, err error)
	HostToPlugin(network, address string) (pluginNetwork, pluginAddress string, err error)
}

// SameAddresses is for embedding in a Process whose plugin and host see the
// same file system and network.
type SameAddresses struct{}

// PluginToHost returns its arguments.
func (SameAddresses) PluginToHost(network, address string) (string, string, error) {
	return network, address, nil
}

// HostToPlugin returns its arguments.
func (SameAddresses) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}

// runnerHandle is the handle of a process that a Runner has launched.
type runnerHandle struct {
	proc Process
	log  *slog.Logger
	ctx  context.Context // ends when the process is let go
	end  context.CancelFunc

	mu     sync.Mutex
	ended  bool          // guarded by mu
	killed chan struct{} // guarded by mu; nil until kill; closed when that is done
}

func (h *runnerHandle) wait() ExitStatus {
	err := h.proc.Wait(h.ctx)
	h.mu.Lock()
	h.ended = true
	killed := h.killed
	h.mu.Unlock()
	if killed != nil {
		<-killed
	}
	var exit *exec.ExitError
	switch {
	case h.ctx.Err() != nil:
		return ExitStatus{}
	case err == nil:
		return ExitStatus{Ended: true}
	case errors.As(err, &exit) && exit.ProcessState != nil:
		return exitStatus(exit.ProcessState)
	}
	h.log.Debug("the plugin has ended, and its exit status is not known", "err", err)
	return ExitStatus{Ended: true, Code: -1}
}

func (h *runnerHandle) terminate() bool {
	s, ok := h.proc.(interface{ Signal(os.Signal) error })
	return ok && s.Signal(syscall.SIGTERM) == nil
}

// kill does not wait: a Runner may have to talk to a daemon.
func (h *runnerHandle) kill() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended || h.killed != nil {
		return
	}
	done := make(chan struct{})
	h.killed = done
	go func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(context.Background(), killWait)
		defer cancel()
		if err := h.proc.Kill(ctx); err != nil {
			h.log.Warn("the Runner could not kill the plugin", "err", err)
		}
	}()
}

func (h *runnerHandle) mayKill() bool { return true }
func (h *runnerHandle) letGo()        { h.end() }

// runProcess has the Runner launch the plugin.
func runProcess(ctx context.Context, s *settings, launch *Launch, out *outputs) (*process, error) {
	proc, err := s.target.runner.Run(ctx, launch)
	if err == nil && proc == nil {
		err = errors.New("the Runner returned neither a Process nor an error")
	}
	if err != nil {
		return nil, err
	}
	p := newProcess(proc.Name())
	p.id = proc.ID()
	p.logTo(s.logger.With("plugin", filepath.Base(p.path), "id", p.id))
	p.runner = proc
	h := &runnerHandle{proc: proc, log: p.log}
	h.ctx, h.end = context.WithCancel(context.Background())
	p.handle = h
	p.run(proc.Stdout(), proc.Stderr(), out)
	return p, nil
}

// toHost translates an address of the plugin's.
func (p *process) toHost(network, address string) (string, string, error) {
	if p.runner == nil {
		return network, address, nil
	}
	n, a, err := p.runner.PluginToHost(network, address)
	if err != nil {
		return "", "", fmt.Errorf("the Runner cannot translate the plugin's address %s: %w", quoted(address), err)
	}
	return n, a, nil
}

// toPlugin translates an address of the host's.
func (p *process) toPlugin(network, address string) (string, string, error) {
	if p.runner == nil {
		return network, address, nil
	}
	n, a, err := p.runner.HostToPlugin(network, address)
	if err != nil {
		return "", "", fmt.Errorf("the Runner cannot translate the host's address %s: %w", quoted(address), err)
	}
	return n, a, nil
}

// diagnose returns what the Runner has to say about a failure.
func (p *process) diagnose() string {
	if p.runner == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), diagnoseTimeout)
	defer cancel()
	return p.runner.Diagnose(ctx)
}
