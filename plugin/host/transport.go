package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"runtime"
	"slices"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/internal/files"
	"github.com/tenonrpc/tenon/plugin/internal/group"
	"github.com/tenonrpc/tenon/wire"
)

// settleTransport checks Config.Sockets.
func settleTransport(c *Config, s *settings) error {
	s.sockets = sockets{Sockets: c.Sockets, ownDial: c.Sockets.Dial != nil}
	to := &s.sockets
	to.AllowUIDs = slices.Clone(to.AllowUIDs)
	if to.MinPort == 0 && to.MaxPort == 0 {
		to.MinPort, to.MaxPort = minPort, maxPort
	}
	if to.MinPort < 1 || to.MinPort > to.MaxPort || to.MaxPort > wire.MaxPort {
		return fmt.Errorf("Sockets.MinPort %d and MaxPort %d are not a range of ports within 1 to %d", to.MinPort, to.MaxPort, wire.MaxPort)
	}
	if to.Dial == nil {
		to.Dial = localDialer(to.RemoteTCP).DialContext
	}
	if to.Group == "" {
		return nil
	}
	if runtime.GOOS == "windows" {
		return errors.New("Sockets.Group is not supported on Windows")
	}
	id, err := group.ID(to.Group)
	if err != nil {
		return fmt.Errorf("Sockets.Group: there is no group %q: %w", to.Group, err)
	}
	to.gid = &id
	return nil
}

// owner is whom a plugin's sockets and their directory are given to.
type owner struct {
	uid, gid int  // -1 means this process's
	shared   bool // the whole group may use them
	maybe    bool // the plugin may also run as this process's user
}

// ownerOf returns the owner for a plugin: the user that it runs as, if that is not this
// process's, and the group of Config.Sockets.Group.
//
// If a wrapper, such as sudo or setpriv, changes the plugin's user, only
// Config.Sockets.AllowUIDs names that user, and only root can give anything to it.
func ownerOf(s *settings) owner {
	o := owner{uid: -1, gid: -1}
	own := os.Geteuid()
	if attr := s.target.recipe.cmd.SysProcAttr; otherUser(attr) {
		if uid, gid, ok := credential(attr); ok && outsideUser(uid, attr) != own {
			o.uid, o.gid = outsideUser(uid, attr), outsideGroup(gid, attr)
		}
	} else if i := slices.IndexFunc(s.sockets.AllowUIDs, func(uid int) bool { return uid != own }); own == 0 && i >= 0 && s.sockets.gid == nil {
		o.uid, o.maybe = s.sockets.AllowUIDs[i], true
	}
	if s.sockets.gid != nil {
		o.gid, o.shared = *s.sockets.gid, true
	}
	return o
}

// others reports whether anyone but this process's user has to reach the
// sockets.
func (o owner) others() bool { return o.uid != -1 || o.shared }

// outerMode and hostDirMode return the modes of the directories that only this
// process's user changes.
func (o owner) outerMode() fs.FileMode {
	if o.others() {
		return outerSharedMode
	}
	return outerMode
}

func (o owner) hostDirMode() fs.FileMode {
	if o.others() {
		return dirSharedMode
	}
	return dirMode
}

// dir returns the access to the plugin's directory. If it is given to a group, members
// can remove only what is their own.
func (o owner) dir() files.Access {
	if o.shared {
		return files.Access{UID: o.uid, GID: o.gid, Mode: group.DirMode}
	}
	return files.Access{UID: o.uid, GID: o.gid, Mode: dirMode}
}

// socket returns the access to a socket of the host.
func (o owner) socket() files.Access {
	if o.shared {
		return files.Access{UID: o.uid, GID: o.gid, Mode: group.SocketMode}
	}
	return files.Access{UID: o.uid, GID: o.gid, Mode: files.SocketMode}
}

// listenBroker opens a listener for a brokered connection that the plugin makes.
func (c *Client) listenBroker() (net.Listener, error) {
	if c.ending() { // the directory may be gone
		return nil, plugin.ErrBrokerClosed
	}
	switch {
	case c.settings.sockets.Listen != nil:
		return c.settings.sockets.Listen()
	case runtime.GOOS == "windows":
		return net.Listen(wire.NetworkTCP, "127.0.0.1:0")
	}
	if c.dir == nil {
		return nil, c.dirErr
	}
	l, err := c.dir.listen(listenerName(c.listeners.Add(1)))
	if err != nil {
		return nil, fmt.Errorf("making a socket: %w", err)
	}
	return c.peers().Listener(l, func(err error) {
		c.proc.own.Warn("a connection was refused", "err", err)
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
