package host

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/health"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/internal/automtls"
	"github.com/tenonrpc/tenon/plugin/internal/broker"
	"github.com/tenonrpc/tenon/plugin/internal/control"
	"github.com/tenonrpc/tenon/plugin/internal/files"
)

// Client is a running plugin. Any goroutine may call any method, at any time.
type Client struct {
	// Set by Start, stage by stage, and constant afterwards.
	settings    *settings
	identity    *automtls.Identity // for this plugin alone; nil without AutoMTLS
	out         *outputs
	dir         *socketDir // nil if it could not be made
	dirErr      error      // why
	verified    *verified  // the copy that is executed; nil without Config.Verify
	lifeline    *os.File   // our end of it; nil without one
	proc        *process
	socket      string     // the path of the plugin's socket, "" if it has none
	attachedDir *files.Dir // of a plugin that was attached to, held; nil if it is none of a host's
	terms       *terms
	mux         *broker.Mux // nil without Config.Multiplex
	conn        *h2grpc.ClientConn
	streams     *streams

	dialled   dialled
	listeners atomic.Uint64 // brokered listeners so far

	stop stopping
	exit *ExitError    // set before done is closed
	done chan struct{} // closed when the plugin has ended and everything is freed
}

// dialled is what connecting to the plugin has shown. The connection dials whenever
// it needs to, Start's first time and any later one, so each of these changes by
// itself, and is what it was last.
type dialled struct {
	outside atomic.Pointer[files.Socket] // the plugin's main socket, if it is to be removed: see dialOutside
	err     atomic.Pointer[error]        // how the latest dial failed, if one did
	times   atomic.Uint64                // attempts to dial, so that another connection shows
	known   atomic.Bool                  // the plugin has asked for this host's certificate
	floor   automtls.Floor               // of the brokered connections: what the main one has
}

// stopping is what this host does to end the plugin, or to let it go, as far as it
// has come. Nothing of it is ever undone, except that the ladder becomes free.
type stopping struct {
	asked  atomic.Bool   // it has begun
	forced atomic.Bool   // Shutdown had to kill the plugin
	failed atomic.Bool   // Shutdown could not end it
	letOne sync.Once     // closes let
	let    chan struct{} // closed when the plugin is let go, to live on
	ladder chan struct{} // holds one token: whoever puts it in runs the ladder
}

// Conn returns the connection to the plugin, for generated clients to call
// through. It must not be closed; the Client does that.
func (c *Client) Conn() *h2grpc.ClientConn { return c.conn }

// Broker returns the broker of the connection, for further connections between
// host and plugin.
func (c *Client) Broker() *plugin.Broker { return c.streams.broker }

// PID returns the process id of the plugin, 0 if a Runner has launched it. Once Done is closed the id may be
// another process's.
func (c *Client) PID() int { return c.proc.pid }

// Version returns the application protocol version that was agreed on.
func (c *Client) Version() int { return c.terms.version }

// Done returns a channel that is closed when the plugin has ended, for whatever
// reason, or was let go, and everything that belonged to it is freed.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err says how the plugin ended: it is an *ExitError if the plugin ended by itself,
// as soon as the error of a call says so, and at the latest once Done is closed. It
// is nil while the plugin runs, and if Shutdown, Close or Kill ended it, or Detach let
// it go.
func (c *Client) Err() error {
	if !over(c.done) {
		if over(c.proc.drained) && !c.stop.asked.Load() {
			return c.proc.exitError()
		}
		return nil
	}
	if c.exit != nil {
		return c.exit
	}
	return nil
}

// ExitStatus says how the plugin's process ended, whoever ended it. It is the
// zero value until Done is closed, and for a plugin that was let go alive. The
// exit status of a plugin that was attached to is not known.
func (c *Client) ExitStatus() ExitStatus {
	if over(c.done) && c.proc.hasEnded() {
		return c.proc.status
	}
	return ExitStatus{}
}

// Ping asks the plugin's health service whether it serves. Its error is the
// call's; what exactly the plugin answers plays no part, as in every host of
// the protocol.
func (c *Client) Ping(ctx context.Context) error {
	if _, err := health.Check(ctx, c.conn, control.HealthService); err != nil {
		return fmt.Errorf("host: pinging the plugin: %w", err)
	}
	return nil
}

// Dispense returns the application's client for the plugin of that name, made
// by the GRPCClient method that Config has for it in the version agreed on. It
// may be called any number of times. The error says which names there are, if
// name is none of them, and which type there is, if it is not T.
func Dispense[T any](ctx context.Context, c *Client, name string) (T, error) {
	var none T
	p, ok := c.terms.set[name]
	if !ok {
		names := slices.Sorted(maps.Keys(c.terms.set))
		return none, fmt.Errorf("host: no plugin %q in version %d of Config; there is: %s", name, c.terms.version, strings.Join(names, ", "))
	}
	client, err := p.GRPCClient(ctx, c.Broker(), c.conn)
	if err != nil {
		return none, fmt.Errorf("host: dispensing %q: %w", name, err)
	}
	typed, ok := client.(T)
	if !ok {
		return none, fmt.Errorf("host: dispensing %q: its GRPCClient returned a %T, which is not a %s", name, client, strings.TrimPrefix(fmt.Sprintf("%T", &none), "*"))
	}
	return typed, nil
}

// watch waits for the plugin's end and frees what belongs to it.
func (c *Client) watch() {
	select {
	case <-c.proc.drained:
		if !c.stop.asked.Load() {
			c.exit = c.proc.exitError()
		}
	case <-c.stop.let:
		c.proc.abandon()
	}
	c.release()
	close(c.done)
}
