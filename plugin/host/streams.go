package host

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/peer"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/internal/broker"
	"github.com/tenonrpc/tenon/plugin/internal/control"
	"github.com/tenonrpc/tenon/wire"
)

// streams are the two calls that a host keeps open for its plugin's life: the broker's
// stream, and the plugin's output. A plugin that lacks one of the services is used
// without it.
//
// If the connection breaks while the plugin lives, the host connects again and makes
// both calls again. What the two sides had announced to each other but not yet dialled
// is lost; open brokered connections and servers are not affected, since they have
// sockets of their own. Plugins of go-plugin end the second StartStream at once, and
// then there is no broker any more.
type streams struct {
	broker      *plugin.Broker
	endBroker   func()        // ends the broker with everything it serves; returns at once
	brokerDone  chan struct{} // closed when it has ended
	cancelStdio context.CancelFunc
	stdioDone   chan struct{} // closed when the plugin's output has ended and was delivered

	heard  atomic.Uint64              // pieces of the plugin's output
	linger atomic.Pointer[time.Timer] // calls cancelStdio; nil before Shutdown
}

// openStreams makes both calls, in this order, and serves them from then on.
func openStreams(c *Client, client, server *tls.Config) *streams {
	b := broker.New(c.brokerConfig(client, server))
	brokerCtx, endBroker := context.WithCancel(context.Background())
	stdioCtx, cancelStdio := context.WithCancel(context.Background())
	s := &streams{
		broker:      (*plugin.Broker)(b),
		endBroker:   endBroker,
		brokerDone:  make(chan struct{}),
		cancelStdio: cancelStdio,
		stdioDone:   make(chan struct{}),
	}
	announcements := c.openKept("broker", func() (func() error, error) {
		// Neither side has brokered anything yet.
		var main peer.Peer
		stream, err := control.StartStream(brokerCtx, c.conn, h2grpc.Peer(&main))
		if main.TLS != nil {
			c.dialled.floor.Raise(main.TLS.Version)
		}
		return func() error { return b.Run(stream) }, err
	})
	output := c.openKept("output", func() (func() error, error) {
		stream, err := control.StreamStdio(stdioCtx, c.conn)
		return func() error { return copyStdio(c.out, stream, s.hear) }, err
	})
	go func() {
		defer close(s.brokerDone)
		announcements.keep(brokerCtx)
		endBroker()
		b.Close()
	}()
	go func() {
		defer close(s.stdioDone)
		output.keep(stdioCtx)
		cancelStdio()
	}()
	return s
}

// kept is a call that is made again when its connection breaks.
type kept struct {
	client *Client
	name   string
	open   func() (serve func() error, err error)

	// What the latest open returned.
	dials uint64 // how often the client had dialled before
	serve func() error
	err   error
}

// openKept makes the call for the first time.
func (c *Client) openKept(name string, open func() (serve func() error, err error)) *kept {
	k := &kept{client: c, name: name, open: open}
	k.reopen()
	return k
}

func (k *kept) reopen() {
	k.dials = k.client.dialled.times.Load()
	k.serve, k.err = k.open()
}

// keep serves the call until ctx or the plugin ends, or the plugin ends the call while
// the connection stays up. A plugin that hangs up repeatedly is connected to ever more
// slowly.
func (k *kept) keep(ctx context.Context) {
	c := k.client
	for wait := time.Duration(0); ; wait = min(max(2*wait, redialMin), redialMax) {
		begun := time.Now()
		if k.err == nil {
			k.err = k.serve()
		}
		if time.Since(begun) > redialMax {
			wait = 0
		}
		if ctx.Err() != nil || c.ending() {
			return
		}
		if !c.redialled(ctx, k.dials, wait) {
			if k.err != nil && ctx.Err() == nil && !c.ending() {
				c.proc.own.Debug("the plugin's "+k.name+" is missing or has ended", "err", k.err)
			}
			return
		}
		c.proc.own.Debug("connected to the plugin again", "for", k.name)
		k.reopen()
	}
}

// redialled waits for wait, then until there is a connection to the plugin, and reports
// whether it is a new one: whether the number of dials is no longer dials. It returns
// false if the plugin or ctx ends.
func (c *Client) redialled(ctx context.Context, dials uint64, wait time.Duration) bool {
	for pause := max(wait, redialMin); ; pause, wait = min(2*pause, redialMax), 0 {
		if wait == 0 && c.conn.Connect(ctx) == nil {
			return c.dialled.times.Load() != dials
		}
		pausing, done := context.WithTimeout(ctx, pause)
		await(pausing, c.proc.exited)
		done()
		if ctx.Err() != nil || c.ending() || c.muxEnded() {
			return false
		}
	}
}

// close ends both streams. If the plugin has ended, its last output is delivered first,
// unless the application's writers take too long. A handler of the application that
// does not end is not waited for either.
func (s *streams) close(ended bool) {
	s.endBroker()
	if ended {
		s.awaitStdio()
	}
	s.cancelStdio()
	waitFor(s.stdioDone, drainGrace)
	waitFor(s.brokerDone, drainGrace)
}

// hear notes that a piece of output was delivered: more may come.
func (s *streams) hear() {
	s.heard.Add(1)
	if timer := s.linger.Load(); timer != nil {
		timer.Reset(stdioLinger)
	}
}

// awaitStdio waits for the end of the output of a plugin that has ended, as long as
// output keeps coming. There is not much of it, but the machine may be busy.
func (s *streams) awaitStdio() {
	for begun := time.Now(); time.Since(begun) < killWait/2; {
		heard := s.heard.Load()
		if waitFor(s.stdioDone, drainGrace) || s.heard.Load() == heard {
			return
		}
	}
}

// copyStdio passes on what the plugin prints, and calls heard for each piece. It waits
// only for the plugin and the application's writers.
func copyStdio(out *outputs, stream h2grpc.ServerStreamingClient[wire.StdioData], heard func()) error {
	for {
		data, err := stream.Recv()
		if err != nil {
			return err
		}
		switch data.Channel {
		case wire.ChannelStdout, wire.ChannelStderr:
			out.write(data.Channel, data.Data)
		}
		heard()
	}
}

// brokerConfig returns the broker's configuration: its sockets are in the plugin's
// directory, and its connections are secured like the main one.
func (c *Client) brokerConfig(client, server *tls.Config) *broker.Config {
	clientConfig := c.settings.client
	clientConfig.MapError = chain(c.mapBrokered, clientConfig.MapError)
	return &broker.Config{
		Mux:    c.mux,
		Listen: c.listenBroker,
		Announce: func(a net.Addr) (network, address string, err error) {
			return c.proc.toPlugin(a.Network(), a.String())
		},
		Dial:      c.dialBroker,
		ServerTLS: server,
		ClientTLS: client,
		Client:    clientConfig,
		Server:    c.settings.server,
		MaxOpen:   c.settings.maxBrokered,
		Logger:    c.proc.own,
	}
}
