package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/internal/group"
	"github.com/tenonrpc/tenon/wire"
)

// settleTransport checks how host and plugin reach each other.
func settleTransport(c *Config, s *settings) error {
	s.minPort, s.maxPort = c.MinPort, c.MaxPort
	if c.MinPort == 0 && c.MaxPort == 0 {
		s.minPort, s.maxPort = minPort, maxPort
	}
	if s.minPort < 1 || s.minPort > s.maxPort || s.maxPort > wire.MaxPort {
		return fmt.Errorf("MinPort %d and MaxPort %d are not a range of ports within 1 to %d", c.MinPort, c.MaxPort, wire.MaxPort)
	}
	s.ownDial = s.dial != nil
	if s.dial == nil {
		s.dial = localDialer(c.RemoteTCP).DialContext
	}
	if c.SocketGroup == "" {
		return nil
	}
	if runtime.GOOS == "windows" {
		return errors.New("SocketGroup is not supported on Windows")
	}
	id, err := group.ID(c.SocketGroup)
	if err != nil {
		return fmt.Errorf("SocketGroup: there is no group %q: %w", c.SocketGroup, err)
	}
	s.group, s.groupName = &id, c.SocketGroup
	return nil
}

// owner says to whom a plugin's sockets and their directory are given.
type owner struct {
	uid, gid int  // -1: they stay this process's
	shared   bool // the whole group may use them
}

// ownerOf returns the owner for a plugin: the user that it runs as, if that is
// another than this process's, and the group of Config.SocketGroup.
func ownerOf(s *settings) owner {
	o := owner{uid: -1, gid: -1}
	if uid, gid, ok := credential(s.recipe.cmd.SysProcAttr); ok {
		o.uid, o.gid = uid, gid
	}
	if s.group != nil {
		o.gid, o.shared = *s.group, true
	}
	return o
}

// give gives away what is at path, which this process has made.
func (o owner) give(path string, private, shared os.FileMode) error {
	if o.uid != -1 || o.gid != -1 {
		if err := os.Lchown(path, o.uid, o.gid); err != nil {
			return err
		}
	}
	if o.shared {
		return os.Chmod(path, shared)
	}
	return os.Chmod(path, private)
}

// listenBroker opens a listener for a brokered connection of the plugin's.
func (c *Client) listenBroker() (net.Listener, error) {
	if c.ending() { // the directory may be gone
		return nil, plugin.ErrBrokerClosed
	}
	switch {
	case c.settings.listen != nil:
		return c.settings.listen()
	case runtime.GOOS == "windows":
		return net.Listen(wire.NetworkTCP, "127.0.0.1:0")
	}
	path := filepath.Join(c.dir.path, "host"+strconv.FormatUint(c.listeners.Add(1), 10))
	l, err := net.Listen(wire.NetworkUnix, path)
	if err != nil {
		return nil, err
	}
	if err := c.dir.owner.give(path, socketMode, group.SocketMode); err != nil {
		l.Close()
		return nil, fmt.Errorf("protecting a socket: %w", err)
	}
	return c.peers().Listener(l, func(err error) {
		c.proc.log.Warn("a connection was refused", "err", err)
	}), nil
}

// dialBroker connects to an address that the plugin announced.
func (c *Client) dialBroker(ctx context.Context, network, address string) (net.Conn, error) {
	network, address, err := c.proc.toHost(network, address)
	if err != nil {
		return nil, err
	}
	return c.dial(ctx, network, address)
}
