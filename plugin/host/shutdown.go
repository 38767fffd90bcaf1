package host

import (
	"context"
	"fmt"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin/internal/control"
)

// Shutdown ends the plugin and frees everything that belonged to it. It takes up to
// three steps until the plugin has ended: the Shutdown call, SIGTERM, SIGKILL. The
// deadline of ctx, or StopTimeout if it has none, is divided between the first two;
// when ctx ends, the plugin is killed at once. Nothing makes Shutdown take longer than
// that and two seconds for the kernel, not even grandchildren that hold the plugin's
// pipes.
//
// A plugin that was attached to is killed only if it is certain which process it is.
// One that belongs to a test is never ended, but let go.
//
// The error wraps ErrKilled if the plugin had to be killed, and ErrNotKilled if it
// would have had to be; everything is freed then too. If the plugin has already ended,
// Shutdown returns nil: Err reports how it ended. Overlapping calls of Shutdown and
// Close wait for the same end.
func (c *Client) Shutdown(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.settings.stopTimeout)
		defer cancel()
	}
	select {
	case <-c.done:
		return c.verdict()
	case c.stop.ladder <- struct{}{}:
		defer func() { <-c.stop.ladder }()
		c.descend(ctx)
	default:
		// Another call takes the steps.
		if !await(ctx, c.done) {
			c.force()
		}
	}
	if !waitFor(c.done, killWait) {
		return fmt.Errorf("host: the plugin %s has not ended %v after it was killed", c.proc.who(), killWait)
	}
	return c.verdict()
}

// Close is Shutdown within StopTimeout. It may be deferred, and called any number of
// times.
func (c *Client) Close() error { return c.Shutdown(context.Background()) }

// Kill ends the plugin at once, with SIGKILL. It returns when everything is freed,
// after two seconds at the latest. A plugin that Shutdown would not kill is let go.
func (c *Client) Kill() {
	c.ask()
	c.end()
	waitFor(c.done, killWait)
}

// ask notes that this host ends the plugin, unless it has ended by itself.
func (c *Client) ask() {
	if !c.proc.hasEnded() {
		c.stop.asked.Store(true)
	}
}

// end kills the plugin if it may, and lets it go otherwise.
func (c *Client) end() {
	if !c.isLetGo() && c.proc.handle.mayKill() {
		c.proc.handle.kill()
	} else {
		c.letGo()
	}
}

// ending reports whether the plugin is being ended or has ended.
func (c *Client) ending() bool { return c.stop.asked.Load() || c.proc.hasEnded() }

// verdict returns the result of Shutdown when the plugin has ended.
func (c *Client) verdict() error {
	switch {
	case c.stop.failed.Load():
		return fmt.Errorf("host: %s: %w", c.proc.who(), ErrNotKilled)
	case c.stop.forced.Load():
		return fmt.Errorf("host: %s: %w", c.proc.who(), ErrKilled)
	}
	return nil
}

// force kills the plugin because it did not end by itself.
func (c *Client) force() {
	if c.proc.hasEnded() {
		return
	}
	if c.proc.handle.mayKill() {
		c.stop.forced.Store(true)
	} else {
		c.stop.failed.Store(true)
	}
	c.end()
}

// descend takes the steps of Shutdown until the plugin has ended, or ctx has ended and
// the plugin was killed.
func (c *Client) descend(ctx context.Context) {
	if c.proc.hasEnded() || over(c.stop.let) {
		return
	}
	if r := c.settings.target.reattach; r != nil && r.Test {
		c.letGo()
		return
	}
	c.stop.asked.Store(true)
	deadline, _ := ctx.Deadline()
	grace, cancel := context.WithTimeout(ctx, time.Until(deadline)*gracePercent/100)
	defer cancel()

	c.streams.endBroker()
	// The plugin's last output may still come, and each piece extends the time. A
	// plugin that waits for this stream to end before it answers must not wait for
	// long.
	linger := time.AfterFunc(stdioLinger, c.streams.cancelStdio)
	c.streams.linger.Store(linger)
	defer linger.Stop()
	if c.askToEnd(grace) && await(grace, c.proc.exited) {
		return
	}
	if c.proc.handle.terminate() && await(ctx, c.proc.exited) {
		return
	}
	c.force()
}

// askToEnd makes the Shutdown call and reports whether the plugin can be expected to
// end. A broken connection counts as an answer: some plugins end before they answer.
// But it may have broken for another reason; if the plugin can be connected to again,
// it is asked again.
func (c *Client) askToEnd(ctx context.Context) bool {
	err := control.Shutdown(ctx, c.conn)
	if status.Code(err) == codes.Unavailable &&
		!waitFor(c.proc.exited, exitStatusWait) && c.conn.Connect(ctx) == nil {
		err = control.Shutdown(ctx, c.conn)
	}
	if err == nil || status.Code(err) == codes.Unavailable {
		return true
	}
	c.proc.own.Debug("the plugin does not answer Shutdown", "err", err)
	return false
}

// await waits until done is closed or ctx has ended, and reports whether done is
// closed.
func await(ctx context.Context, done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}
