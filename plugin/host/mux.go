package host

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/tenonrpc/tenon/plugin/internal/broker"
	"github.com/tenonrpc/tenon/plugin/internal/hostwire"
	"github.com/tenonrpc/tenon/wire"
)

// ErrMuxUnsupported is wrapped by the error of Start if Config.Multiplex is set and the
// plugin does not support multiplexing.
var ErrMuxUnsupported = errors.New("the plugin does not support multiplexing (Config.Multiplex)")

// checkMux refuses a plugin that does not multiplex if Config asks for it. If it is not
// asked for, the handshake does not mention multiplexing.
func checkMux(s *settings, h wire.Handshake) error {
	if !s.multiplex {
		return nil
	}
	on, err := hostwire.Multiplexed(h)
	if err != nil {
		return &problem{StageCheck, "the plugin's library is broken; leave Config.Multiplex unset to do without multiplexing", err}
	}
	if !on {
		return &problem{StageCheck,
			"leave Config.Multiplex unset, so that each brokered connection has a socket of its own, or build the plugin with a library that supports it (go-plugin 1.6 or later), and without the tag tenon_nomux",
			ErrMuxUnsupported}
	}
	return nil
}

// connectMux makes the one connection that carries everything. Plugins wait for it for
// a few seconds after their handshake, so Start makes it.
func (c *Client) connectMux(ctx context.Context) error {
	raw, err := c.dialRaw(ctx)
	if err != nil {
		return err
	}
	c.mux = broker.NewHostMux(raw, c.proc.own)
	return nil
}

// muxEnded reports whether the client had one connection for everything and it has
// ended: it cannot be made again.
func (c *Client) muxEnded() bool { return over(c.mux.Ended()) }

// dialMux opens another main connection over c.mux.
func (c *Client) dialMux(ctx context.Context) (net.Conn, error) {
	if c.proc.hasEnded() {
		return nil, errEnded
	}
	conn, err := c.mux.Dial(ctx)
	c.dialled.times.Add(1)
	if err != nil {
		return nil, fmt.Errorf("over the connection to the plugin: %w", err)
	}
	return conn, nil
}
