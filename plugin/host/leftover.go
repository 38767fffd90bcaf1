package host

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tenonrpc/tenon/plugin/internal/files"
	"github.com/tenonrpc/tenon/plugin/internal/peercred"
	"github.com/tenonrpc/tenon/plugin/internal/procid"
	"github.com/tenonrpc/tenon/wire"
)

// What a plugin leaves when it ends is removed by its host, which has more rights
// than the plugin now and then. So a host goes by what it has seen, and not by
// what the plugin says.

// dialOutside connects to the plugin's main socket where that is not in the
// plugin's directory: plugins of old libraries ignore the directory that they are
// given. Such a socket is removed with the plugin if the plugin, or a process
// that it has started, was who listened on it when this host connected to it.
//
// The directory is looked up once, and the socket is dialled by that: what was
// connected to is what was looked at.
func (c *Client) dialOutside(ctx context.Context) (net.Conn, error) {
	s, ok := files.OpenSocket(c.socket)
	if !ok {
		return c.dial(ctx, wire.NetworkUnix, c.socket)
	}
	defer s.Close()
	path := s.DialPath()
	if path == "" { // nothing would be certain
		return c.dial(ctx, wire.NetworkUnix, c.socket)
	}
	conn, err := c.dial(ctx, wire.NetworkUnix, path)
	if err != nil {
		return nil, err
	}
	cred, known, err := peercred.Of(conn)
	if err == nil && known && peercred.Alive(conn) && c.ofPlugin(cred.PID) && cred.UID == s.Owner() && s.Unchanged() {
		c.dialled.outside.Store(s)
	}
	return conn, nil
}

// findOutside finds out whose the plugin's main socket is, if it is outside and was
// not connected to yet: a plugin that is refused leaves it, too. Nothing is sent.
func (c *Client) findOutside() {
	if !c.isOutside() || c.dialled.times.Load() > 0 || c.proc.hasEnded() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), exitStatusWait)
	defer cancel()
	if conn, err := c.dialOutside(ctx); err == nil {
		conn.Close()
	}
}

// isOutside reports whether the plugin's main socket is to be looked at: it is on
// this machine, and in none of the directories that are this host's to remove.
func (c *Client) isOutside() bool {
	return c.socket != "" && !c.settings.sockets.ownDial && filepath.IsAbs(c.socket) &&
		filepath.Dir(c.socket) != c.socketDir() && c.attachedDir == nil
}

// ofPlugin reports whether a process is the plugin's, or one that it has started.
func (c *Client) ofPlugin(pid int) bool {
	return pid > 0 && c.proc.pid > 0 && (pid == c.proc.pid || slices.Contains(procid.Ancestors(pid), c.proc.pid))
}

// removeLeft removes what a plugin that has ended has left outside of its
// directory.
func (c *Client) removeLeft() {
	if s := c.dialled.outside.Load(); s != nil {
		// It may have removed it itself.
		s.Remove()
	}
	if c.attachedDir != nil {
		path := c.attachedDir.Path()
		c.attachedDir.Close()
		if parent, err := files.OpenParent(filepath.Dir(path)); err == nil {
			sweepDir(parent, filepath.Base(path))
			parent.Close()
		}
	}
}

// holdAttached holds the directory in which a plugin of another host has its
// sockets, if it is one that such a host has made.
func (c *Client) holdAttached() {
	path := filepath.Dir(filepath.Dir(c.socket))
	if !filepath.IsAbs(path) || !strings.HasPrefix(filepath.Base(path), dirPrefix) {
		return
	}
	parent, err := files.OpenParent(filepath.Dir(path))
	if err != nil {
		return
	}
	defer parent.Close()
	d, err := parent.Find(filepath.Base(path))
	if err != nil {
		return
	}
	if !outerKind(d) || d.Hold() != nil || !parent.Has(d) {
		d.Close()
		return
	}
	c.attachedDir = d
}

// sweep looks for what dead hosts have left, where this one leaves things.
func (c *Client) sweep() {
	sweepOnce(os.TempDir())
	if c.dir != nil {
		sweepOnce(filepath.Dir(filepath.Dir(c.dir.path)))
	}
}
