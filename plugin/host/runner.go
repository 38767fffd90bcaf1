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

// Runner launches plugins in another way than as child processes: in a sandbox, in a
// container, through a service manager. It has the parts of go-plugin's runners, so
// that those are easily adapted.
//
// A Runner must allow several Starts to use it at once.
type Runner interface {
	// Run launches the plugin. ctx bounds the launch, not the life of the plugin. If
	// Run fails it must leave nothing behind.
	Run(ctx context.Context, launch *Launch) (Process, error)
}

// Launch is what a Runner gets to launch a plugin with. The Runner may keep and change
// it.
type Launch struct {
	// Env is the whole environment of the plugin, as "NAME=value" entries.
	Env []string
	// SocketDir is the directory in which the plugin makes its sockets and finds the
	// host's. The plugin must be able to reach it; Env tells the plugin its path, and
	// it is removed when the plugin has ended. If the plugin sees it under another
	// path, call SetSocketDir. It is "" if it could not be made, and on Windows unless
	// Sockets.TempDir is set: the plugin can still serve on TCP.
	SocketDir string
	// Files are files that the plugin is to inherit: from descriptor 3 on, and on
	// Windows as handles with the same numbers
	// (SysProcAttr.AdditionalInheritedHandles). The host closes them. A Runner that
	// cannot pass them leaves them out; the plugin then detects the end of its host by
	// other means, and sends what it prints over the connection.
	Files []*os.File
	// Logger is Config.Logger.
	Logger *slog.Logger
}

// SetSocketDir changes the path under which the plugin sees SocketDir, in Env. The
// Process must then translate addresses accordingly.
func (l *Launch) SetSocketDir(dir string) {
	l.Env = mergeEnv(l.Env, hostwire.AppendEnv(nil, wire.Env{UnixSocketDir: dir}))
}

// Process is a plugin that a Runner has launched. Its methods may be called by several
// goroutines at once; Stdout, Stderr and Wait are called once each.
//
// A Process may also have a method Signal(os.Signal) error. A plugin that does not end
// when asked to is then sent SIGTERM before it is killed.
type Process interface {
	// Name returns a name for messages, such as the program's path.
	Name() string
	// ID returns an id for messages, such as that of a process or container.
	ID() string
	// Stdout and Stderr return the streams that the plugin writes to. They end with the
	// plugin; closing one ends a Read in progress.
	Stdout() io.ReadCloser
	Stderr() io.ReadCloser
	// Wait waits for the plugin's end. It returns nil if the plugin's exit status is 0,
	// an error that wraps an *exec.ExitError if it is another, and any other error if
	// it is not known. ctx ends only if the plugin is let go.
	Wait(ctx context.Context) error
	// Kill ends the plugin at once, with everything that it was launched in. ctx bounds
	// it to two seconds.
	Kill(ctx context.Context) error
	// Diagnose returns what may help to find out why the plugin could not be started,
	// or "". ctx bounds it to two seconds; 4 KiB of the text are kept.
	Diagnose(ctx context.Context) string
	// PluginToHost translates an address that the plugin listens on into one that the
	// host can dial, and HostToPlugin one of the host's into one that the plugin can
	// dial. network is "unix" or "tcp".
	PluginToHost(network, address string) (hostNetwork, hostAddress string, err error)
	HostToPlugin(network, address string) (pluginNetwork, pluginAddress string, err error)
}

// SameAddresses implements PluginToHost and HostToPlugin for a Process whose plugin
// sees the host's file system and network: embed it.
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
	killed chan struct{} // guarded by mu; nil before kill; closed when kill is done
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

// runProcess launches the plugin with the Runner.
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

// toHost translates an address of the plugin for the host.
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

// toPlugin translates an address of the host for the plugin.
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

// diagnose returns the Runner's diagnosis of a failure.
func (p *process) diagnose() string {
	if p.runner == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), diagnoseTimeout)
	defer cancel()
	return p.runner.Diagnose(ctx)
}
