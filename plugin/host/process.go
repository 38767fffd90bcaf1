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
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/loglimit"
	"github.com/tenonrpc/tenon/plugin"
)

// process is a plugin's process with its two pipes, from its start until everything
// about it is freed. Its goroutines: one reads each pipe, and reap waits for the end.
type process struct {
	path string        // or a Runner's name for it
	pid  int           // 0 if a Runner has launched it
	id   string        // the Runner's id for it
	log  *slog.Logger  // for the plugin's lines; names the plugin
	own  plugin.Logger // for our own records: what the plugin can make us log is bounded
	tell func()        // logs how many records own has left out

	handle         handle
	runner         Process       // nil unless a Runner has launched it
	stdout, stderr io.ReadCloser // our ends of the pipes; reap closes them
	pipes          []*pluginPipe // for what the plugin prints; reap closes them
	printed        atomic.Int64  // bytes read from pipes and passed on

	line       chan firstLine // the first line of stdout, once, if there is one
	stdoutTail tail
	stderrTail tail
	stdoutDone chan struct{} // closed when stdout has ended and everything is delivered
	stderrDone chan struct{}
	exited     chan struct{} // closed when the process has ended
	status     ExitStatus    // set before exited is closed
	drained    chan struct{} // closed when reap has ended: both pipes are closed
}

// handle is how a process is ended and how its end is waited for. wait is called once;
// the other methods at any time, by any goroutine, also after the end.
type handle interface {
	wait() ExitStatus // waits for the end; returns zero if the process is let go first
	terminate() bool  // asks it to end; returns false if that is not possible
	mayKill() bool    // reports whether kill does anything
	kill()            // ends it; does not wait for the end
	letGo()           // makes wait return if it may
}

func newProcess(path string) *process {
	return &process{
		path:       path,
		line:       make(chan firstLine, 1),
		stdoutDone: make(chan struct{}),
		stderrDone: make(chan struct{}),
		exited:     make(chan struct{}),
		drained:    make(chan struct{}),
	}
}

// logTo sets the loggers.
func (p *process) logTo(log *slog.Logger) {
	p.log = log
	p.own, p.tell = loglimit.Wrap(log)
}

// launch starts the process and its goroutines. The caller must make sure that it is
// ended, for example with kill. The process inherits files in addition to those of the
// recipe. If v is not nil, the verified copy is executed.
func launch(ctx context.Context, s *settings, v *verified, socketDir string, env []string, files []*os.File, out *outputs) (*process, error) {
	if s.target.recipe.err != nil {
		return nil, s.target.recipe.err
	}
	p := newProcess(s.target.recipe.path())
	// Our own pipes, not os/exec's: nothing copies from them in between, and Wait does
	// not wait for grandchildren that hold them.
	outRead, outWrite, err := newStreamPipe()
	if err != nil {
		return nil, err
	}
	defer outWrite.Close()
	errRead, errWrite, err := newStreamPipe()
	if err != nil {
		outRead.Close()
		return nil, err
	}
	defer errWrite.Close()

	cmd := unstarted(&s.target.recipe.cmd)
	cmd.Env = env
	cmd.Stdout = outWrite
	if cmd.Stderr == nil { // otherwise nothing comes through the pipe
		cmd.Stderr = errWrite
	}
	inherit(cmd, files)
	if s.target.processGroup {
		cmd.SysProcAttr = ownGroup(cmd.SysProcAttr)
	}
	if v != nil {
		done, err := v.use(cmd)
		if err != nil {
			outRead.Close()
			errRead.Close()
			return nil, err
		}
		defer done()
	}
	job, err := newJob(s, cmd)
	if err != nil {
		outRead.Close()
		errRead.Close()
		return nil, err
	}
	if cmd, err = s.startPatiently(ctx, cmd, socketDir); err == nil {
		err = job.adopt(cmd)
	}
	if err != nil {
		job.close()
		outRead.Close()
		errRead.Close()
		return nil, err
	}
	p.pid = cmd.Process.Pid
	p.logTo(s.logger.With("plugin", filepath.Base(p.path), "pid", p.pid))
	p.handle = &command{cmd, job}
	if s.target.processGroup {
		p.handle = &processGroup{command: command{cmd, job}}
	}
	p.run(outRead, errRead, out)
	return p, nil
}

// unstarted returns a new command with the fields of cmd that matter. A command can be
// started only once, even if that fails.
func unstarted(cmd *exec.Cmd) *exec.Cmd {
	return &exec.Cmd{
		Path:        cmd.Path,
		Args:        cmd.Args,
		Env:         cmd.Env,
		Dir:         cmd.Dir,
		Stdin:       cmd.Stdin,
		Stdout:      cmd.Stdout,
		Stderr:      cmd.Stderr,
		ExtraFiles:  cmd.ExtraFiles,
		SysProcAttr: cmd.SysProcAttr,
	}
}

// startPatiently starts a command, and copies of it again as long as the program is
// open for writing. It returns the one that was started.
//
// A program that was written and closed a moment ago may still be open: a child that
// was forked in between, for example by another Start, has it open until it executes
// its own program.
func (s *settings) startPatiently(ctx context.Context, cmd *exec.Cmd, socketDir string) (*exec.Cmd, error) {
	pause := busyPause
	for attempt := 1; ; attempt++ {
		next := unstarted(cmd) // before StartCmd changes it
		err := s.start(cmd, socketDir)
		if err == nil || cmd.Process != nil || !errors.Is(err, syscall.ETXTBSY) || attempt == busyAttempts {
			return cmd, err
		}
		if waitFor(ctx.Done(), pause) {
			return nil, fmt.Errorf("%w; gave up: %w", err, context.Cause(ctx))
		}
		cmd, pause = next, 2*pause
	}
}

// start starts a command, with Config.StartCmd if that is set.
func (s *settings) start(cmd *exec.Cmd, socketDir string) error {
	if s.target.startCmd == nil {
		return cmd.Start()
	}
	if err := s.target.startCmd(cmd, socketDir); err != nil {
		return err
	}
	if cmd.Process == nil {
		return errors.New("Config.StartCmd has not started the command")
	}
	return nil
}

// run starts the goroutines of a running process.
func (p *process) run(stdout, stderr io.ReadCloser, out *outputs) {
	p.stdout, p.stderr = stdout, stderr
	go p.readStdout(out)
	go p.readStderr(out)
	p.pipes = out.pipes
	for _, pipe := range p.pipes {
		go p.readPipe(pipe, out)
	}
	go p.reap()
}

// command is the handle of a process that this one has started.
type command struct {
	cmd *exec.Cmd
	job job
}

func (c *command) wait() ExitStatus {
	c.cmd.Wait() // its error repeats ProcessState
	c.job.close()
	return exitStatus(c.cmd.ProcessState)
}

func (c *command) mayKill() bool { return true }
func (c *command) kill()         { c.cmd.Process.Kill() }

// letGo does nothing: the parent must wait for its child, or the child stays in the
// process table.
func (c *command) letGo() {}

// reap waits for the process to end and frees what belongs to it. A grandchild that
// holds a pipe delays it by at most drainGrace, as does a writer of the application
// that blocks.
func (p *process) reap() {
	defer close(p.drained)
	if status := p.handle.wait(); status.Ended {
		p.status = status
		close(p.exited)
	}
	p.awaitOutput()
	p.closeStreams()
	p.awaitOutput()
}

func (p *process) closeStreams() {
	p.stdout.Close()
	p.stderr.Close()
	for _, pipe := range p.pipes {
		pipe.r.Close()
	}
}

// awaitOutput waits until all pipes have been read to their ends, no output has come
// for drainGrace, or drainLimit has passed.
func (p *process) awaitOutput() {
	limit := time.NewTimer(drainLimit)
	defer limit.Stop()
	grace := time.NewTicker(drainGrace)
	defer grace.Stop()
	all := []chan struct{}{p.stdoutDone, p.stderrDone}
	for _, pipe := range p.pipes {
		all = append(all, pipe.done)
	}
	before := p.printed.Load()
	for len(all) > 0 {
		select {
		case <-all[0]:
			all = all[1:]
		case <-grace.C:
			if now := p.printed.Load(); now == before {
				return
			} else {
				before = now
			}
		case <-limit.C:
			return
		}
	}
}

// exitStatus converts what the operating system reported.
func exitStatus(state *os.ProcessState) ExitStatus {
	if state == nil {
		return ExitStatus{Ended: true, Code: -1}
	}
	s := ExitStatus{Ended: true, Code: state.ExitCode()}
	if ws, ok := state.Sys().(interface {
		Signaled() bool
		Signal() syscall.Signal
	}); ok && ws.Signaled() {
		s.Signal = ws.Signal().String()
	}
	return s
}

// hasEnded reports whether the process has ended.
func (p *process) hasEnded() bool { return over(p.exited) }

// over reports whether c is closed.
func over(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// waitFor waits until c is closed or d has passed, and reports whether c is closed.
func waitFor(c <-chan struct{}, d time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return await(ctx, c)
}
