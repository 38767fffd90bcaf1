package host

import (
	"context"
	"fmt"

	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/health"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin/internal/control"
)

// mapError adds to the error of a call how the plugin ended, if that is why the call
// failed.
func (c *Client) mapError(err error) error {
	switch status.Code(err) {
	case codes.Unavailable:
		if !c.stop.asked.Load() && c.died() && !c.stop.asked.Load() {
			return &callError{err, c.proc.exitError()}
		}
	case codes.Canceled:
		// Calls on a closed connection get this. The connection was closed because the
		// plugin ended.
		if over(c.proc.drained) && !c.stop.asked.Load() {
			return &callError{err, c.proc.exitError()}
		}
	default:
		return err
	}
	if c.stop.asked.Load() && c.proc.hasEnded() && !over(c.stop.let) {
		return &endedError{err}
	}
	return err
}

// endedError is the error of a call that failed because this host has ended the plugin.
type endedError struct{ error }

func (e *endedError) Error() string              { return e.error.Error() + " (this host has ended the plugin)" }
func (e *endedError) Unwrap() error              { return e.error }
func (e *endedError) GRPCStatus() *status.Status { return status.Convert(e.error) }

// mapBrokered is mapError for calls over brokered connections. A broken one does not
// show that the plugin has ended, and the main connection may seem up for a moment
// after the plugin's death. So the plugin is asked: if it is alive it answers at once.
func (c *Client) mapBrokered(err error) error {
	if status.Code(err) != codes.Unavailable || c.stop.asked.Load() {
		return c.mapError(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), exitStatusWait)
	defer cancel()
	// The health check's error, if any, has been through mapError, which has waited for
	// the exit status.
	if _, unanswered := health.Check(ctx, c.conn, control.HealthService); unanswered == nil || c.stop.asked.Load() {
		return err
	}
	if over(c.proc.drained) {
		return &callError{err, c.proc.exitError()}
	}
	return err
}

// died reports whether the plugin has ended, after a call has failed with UNAVAILABLE.
// If the connection is up, or another can be made, the plugin is alive and the status
// was its answer. Otherwise the kernel reports the plugin's end a moment after that of
// its connection.
func (c *Client) died() bool {
	ctx, cancel := context.WithTimeout(context.Background(), exitStatusWait)
	defer cancel()
	connected := make(chan error, 1)
	go func() { connected <- c.conn.Connect(ctx) }()
	select {
	case err := <-connected:
		return err != nil && await(ctx, c.proc.drained)
	case <-c.proc.drained:
		return true
	case <-ctx.Done():
		return false
	}
}

// callError is the error of a call that failed because the plugin ended. It wraps an
// *ExitError, and its status is UNAVAILABLE.
type callError struct {
	err  error
	exit *ExitError
}

func (e *callError) Error() string {
	return fmt.Sprintf("%v (the plugin ended: %v)", e.err, e.exit.Status)
}

func (e *callError) Unwrap() []error { return []error{e.err, e.exit} }

func (e *callError) GRPCStatus() *status.Status {
	return status.Newf(codes.Unavailable, "the plugin ended: %v", e.exit.Status)
}

// exitError returns how the plugin ended, which it must have.
func (p *process) exitError() *ExitError {
	return &ExitError{Path: p.path, PID: p.pid, ID: p.id, Status: p.status, Stderr: p.stderrTail.Bytes()}
}
