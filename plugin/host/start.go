package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/tenonrpc/tenon/wire"
)

// Start starts a plugin and connects to it. It returns when the plugin can be used,
// when StartTimeout has passed, or when ctx ends; after that, ctx has no effect. The
// caller must end the plugin with Close, Shutdown or Kill, or let it go with Detach.
//
// The error is a *StartError. If Start fails it leaves nothing behind: no process, no
// socket, no directory. A plugin that it was to attach to stays as it was.
func Start(ctx context.Context, config *Config) (*Client, error) {
	c := &Client{done: make(chan struct{})}
	c.stop.ladder, c.stop.let = make(chan struct{}, 1), make(chan struct{})
	if err := c.start(ctx, config); err != nil {
		return nil, c.abort(err)
	}
	go c.watch()
	if c.identity != nil {
		makeSpare(c.settings.curve)
	}
	return c, nil
}

// start goes through the stages of Start. If it fails, what it has made is in c, for
// abort to free.
func (c *Client) start(ctx context.Context, config *Config) error {
	s, err := settle(config)
	if err != nil {
		return &problem{stage: StageConfig, err: err}
	}
	c.settings = s
	ctx, cancel := context.WithTimeoutCause(ctx, s.startTimeout, startTimeoutError(s.startTimeout))
	defer cancel()

	if err := c.prepareDir(ctx); err != nil {
		return err
	}
	if s.target.reattach != nil {
		if err := c.attach(); err != nil {
			return err
		}
		c.sweep()
		return c.connect(ctx)
	}
	env, err := c.prepare()
	if err != nil {
		return err
	}
	if s.target.verify != nil {
		if err := c.verify(ctx); err != nil {
			return err
		}
	}
	if err := c.launch(ctx, env); err != nil {
		if s.target.runner != nil {
			return &problem{stage: StageLaunch, err: err}
		}
		return &problem{StageLaunch, launchHint(s.target.recipe.path(), err), notThere(s.target.recipe.path(), err)}
	}
	// While the plugin starts there is time for this.
	c.sweep()
	shake, err := readHandshake(ctx, c.proc)
	if err != nil {
		return err
	}
	if shake.Network, shake.Address, err = c.proc.toHost(shake.Network, shake.Address); err != nil {
		return &problem{stage: StageCheck, err: err}
	}
	if shake.Network == wire.NetworkUnix {
		c.socket = shake.Address
	}
	if c.terms, err = check(s, shake); err != nil {
		return err
	}
	return c.connect(ctx)
}

// prepareDir makes the directory for sockets. If that fails and Config does not ask for
// a directory, the start goes on: a plugin that serves on TCP needs none.
func (c *Client) prepareDir(ctx context.Context) error {
	if ctx.Err() != nil {
		return problemf(StagePrepare, "gave up: %w", context.Cause(ctx))
	}
	s := c.settings
	c.out = newOutputs(s)
	if runtime.GOOS == "windows" && s.sockets.TempDir == "" {
		return nil // plugins and hosts listen on TCP there
	}
	dir, err := c.placeDir(os.Environ())
	if err != nil {
		c.dirErr = fmt.Errorf("making the directory for sockets: %w", err)
		if s.dirNeeded() {
			return &problem{StagePrepare, s.dirHint(err), err}
		}
		return nil
	}
	c.dir = dir
	return nil
}

// prepare returns the protocol's part of the plugin's environment.
func (c *Client) prepare() (protocol wire.Env, err error) {
	s := c.settings
	protocol = wire.Env{
		MinPort:         s.sockets.MinPort,
		MaxPort:         s.sockets.MaxPort,
		Versions:        s.versionList(),
		UnixSocketDir:   c.socketDir(),
		UnixSocketGroup: s.sockets.Group,
	}
	if s.autoMTLS() {
		if c.identity, err = newIdentity(s.curve); err != nil {
			return protocol, &problem{stage: StagePrepare, err: err}
		}
		protocol.ClientCert = c.identity.PEM()
	}
	if s.multiplex {
		protocol.Multiplex = "true"
	}
	return protocol, nil
}

// socketDir returns the plugin's directory for sockets, or "".
func (c *Client) socketDir() string {
	if c.dir == nil {
		return ""
	}
	return c.dir.path
}

// launch starts the process, with a lifeline unless it may outlive the host.
func (c *Client) launch(ctx context.Context, env wire.Env) error {
	s := c.settings
	var files []*os.File
	if s.target.detach {
		env.Lifeline = wire.LifelineNone
		if c.dir != nil && c.dir.keep != nil && s.target.runner == nil {
			// The plugin holds it too, so that no other host removes the directory when
			// this one has ended.
			files = append(files, c.dir.keep)
		}
	} else {
		life, err := newLifeline(firstExtraFile + len(s.target.recipe.cmd.ExtraFiles))
		if err != nil {
			return fmt.Errorf("making a pipe: %w", err)
		}
		c.lifeline = life.host
		defer life.plugin.Close()
		files = append(files, life.plugin)
		env.Lifeline = string(life.id.Append(nil))
		pipes, err := c.out.newPipes(firstExtraFile+len(s.target.recipe.cmd.ExtraFiles)+len(files), &env)
		if err != nil {
			return err
		}
		defer closeAll(pipes)
		files = append(files, pipes...)
	}
	own := os.Environ()
	environment := environ(s, own, env)
	if s.target.runner == nil && s.logger.Enabled(ctx, slog.LevelDebug) {
		if names, count := withheld(own, environment); count > 0 {
			s.logger.Debug("the plugin does not get these variables of the host; Config.Env and InheritEnv pass them",
				"plugin", filepath.Base(s.target.recipe.path()), "count", count, "names", names)
		}
	}
	var err error
	if s.target.runner != nil {
		c.proc, err = runProcess(ctx, s, &Launch{environment, c.socketDir(), files, s.logger}, c.out)
	} else {
		c.proc, err = launch(ctx, s, c.verified, c.socketDir(), environment, files, c.out)
	}
	if err != nil {
		c.out.closePipes()
	}
	return err
}

// abort frees everything that a failed start has made, and returns the error
// with what is known about the plugin.
func (c *Client) abort(err error) error {
	e := &StartError{Err: err}
	if p := (*problem)(nil); errors.As(err, &p) {
		e.Stage, e.Hint, e.Err = p.stage, p.hint, p.err
	}
	if c.settings != nil {
		e.Path = c.settings.target.recipe.path()
		e.attached = c.settings.target.reattach != nil
	}
	if c.proc != nil {
		own := c.proc.hasEnded()
		if e.attached {
			c.proc.handle.letGo()
		} else {
			c.findOutside()
			c.proc.handle.kill()
		}
		waitFor(c.proc.drained, killWait)
		e.Path, e.PID, e.ID = c.proc.path, c.proc.pid, c.proc.id
		diagnosis := []byte(c.proc.diagnose())
		e.Diagnosis = string(diagnosis[:min(len(diagnosis), maxDiagnosis)])
		e.Stdout, e.Stderr = c.proc.stdoutTail.Bytes(), c.proc.stderrTail.Bytes()
		if own {
			e.ExitStatus = c.proc.status
		}
	}
	c.addDirHint(e)
	c.release()
	return e
}

// release frees everything except the process.
func (c *Client) release() {
	if c.streams != nil {
		c.streams.close(c.proc.hasEnded())
	}
	if c.conn != nil {
		c.conn.Close()
	}
	c.mux.Close()
	if c.out != nil {
		c.out.close()
	}
	if c.proc != nil && c.proc.hasEnded() {
		c.removeLeft()
	}
	switch {
	case c.dir == nil:
	case c.isLetGo() && c.settings.target.reattach == nil:
		c.dir.letGo() // it is the plugin's now
	default:
		if err := c.dir.remove(); err != nil {
			c.settings.logger.Warn("a directory for sockets could not be removed", "err", err)
		}
	}
	if c.attachedDir != nil {
		c.attachedDir.Close()
	}
	if c.lifeline != nil {
		c.lifeline.Close()
	}
	c.verified.close()
	if c.proc != nil {
		c.proc.tell()
	}
}

// startTimeoutError is the cause when a Start takes too long.
type startTimeoutError time.Duration

func (e startTimeoutError) Error() string {
	return fmt.Sprintf("the StartTimeout of %v has passed", time.Duration(e))
}

// Is makes errors.Is report context.DeadlineExceeded, as for other deadlines.
func (startTimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }
