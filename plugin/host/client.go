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

// Client is a running plugin. Its methods may be called by several goroutines at once.
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
	attachedDir *files.Dir // held directory of a plugin that was attached to; nil if no host made it
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

// dialled is what connecting to the plugin has shown. The connection dials in Start and
// again whenever it breaks, so each field changes on its own and holds the latest
// result.
type dialled struct {
	outside atomic.Pointer[files.Socket] // the plugin's main socket, if the host has to remove it: see dialOutside
	err     atomic.Pointer[error]        // how the latest dial failed, if one did
	times   atomic.Uint64                // attempts to dial, so that a new connection is noticed
	known   atomic.Bool                  // the plugin has asked for this host's certificate
	floor   automtls.Floor               // the lowest TLS version of brokered connections: the main one's
}

// stopping records how far this host has come in ending the plugin or letting it go.
// Nothing in it is ever undone, except that ladder becomes free again.
type stopping struct {
	asked  atomic.Bool   // ending or letting go has begun
	forced atomic.Bool   // Shutdown had to kill the plugin
	failed atomic.Bool   // Shutdown could not end it
	letOne sync.Once     // closes let
	let    chan struct{} // closed when the plugin is let go, to live on
	ladder chan struct{} // holds one token: whoever puts it in runs the steps of Shutdown
}

// Conn returns the connection to the plugin, for generated clients. It must not be
// closed: the Client does that.
func (c *Client) Conn() *h2grpc.ClientConn { return c.conn }

// Broker returns the broker, which opens further connections between host and plugin,
// in both directions. See [plugin.Broker].
func (c *Client) Broker() *plugin.Broker { return c.streams.broker }

// PID returns the plugin's process id, or 0 if a Runner launched it. Once Done is
// closed, the id may belong to another process.
func (c *Client) PID() int { return c.proc.pid }

// Version returns the application protocol version that host and plugin agreed on.
func (c *Client) Version() int { return c.terms.version }

// Done returns a channel that is closed when the plugin has ended for any reason, or
// was let go, and everything that belonged to it is freed.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err reports how the plugin ended. It returns an *ExitError if the plugin ended by
// itself: as soon as the error of a call reports that, and at the latest once Done is
// closed. It returns nil while the plugin runs, and if Shutdown, Close or Kill ended it
// or Detach let it go.
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

// ExitStatus reports how the plugin's process ended, whoever ended it. It returns the
// zero value until Done is closed, and for a plugin that was let go alive. If the
// plugin was attached to, its exit status is unknown (Code is -1).
func (c *Client) ExitStatus() ExitStatus {
	if over(c.done) && c.proc.hasEnded() {
		return c.proc.status
	}
	return ExitStatus{}
}

// Ping asks the plugin's health service for the status of [plugin.HealthService]. It
// returns the call's error, or one that wraps ErrNotServing if the status is
// NOT_SERVING; other statuses are not errors, because plugins in other languages may
// answer without one. For other services of the plugin there are health.Check and
// health.Watch of package h2grpc/health, with [Client.Conn].
func (c *Client) Ping(ctx context.Context) error {
	current, err := health.Check(ctx, c.conn, control.HealthService)
	if err == nil && current == health.NotServing {
		return fmt.Errorf("host: pinging the plugin %s: %w", c.proc.who(), ErrNotServing)
	}
	if err != nil {
		return fmt.Errorf("host: pinging the plugin: %w", err)
	}
	return nil
}

// Dispense returns the application's client for the plugin called name: what the
// GRPCClient method of that plugin in Config returns, for the agreed version. Each call
// of Dispense calls GRPCClient. If there is no such plugin, the error lists the names
// that there are; if the client is not a T, the error names the client's type.
func Dispense[T any](ctx context.Context, c *Client, name string) (T, error) {
	var none T
	p, ok := c.terms.set[name]
	if len(c.terms.set) == 0 {
		return none, fmt.Errorf("host: no plugin %q: Config has no Plugins for version %d", name, c.terms.version)
	}
	if !ok {
		names := slices.Sorted(maps.Keys(c.terms.set))
		return none, fmt.Errorf("host: no plugin %q in version %d of Config; it has: %s", name, c.terms.version, strings.Join(names, ", "))
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

// watch waits until the plugin has ended or is let go, and frees what belongs to it.
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
