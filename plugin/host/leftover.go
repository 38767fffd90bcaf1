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

// What a plugin leaves behind is removed by its host, which may have more rights than
// the plugin. So the host goes by what it has seen, not by what the plugin claims.

// dialOutside connects to the plugin's main socket if it is not in the plugin's
// directory: plugins of old libraries ignore that directory. Such a socket is removed
// with the plugin if, when this host connected to it, the plugin or a process that it
// has started was listening on it.
//
// The directory is looked up once, and the socket is dialled through it: what was
// checked is what was connected to.
func (c *Client) dialOutside(ctx context.Context) (net.Conn, error) {
	s, ok := files.OpenSocket(c.socket)
	if !ok {
		return c.dial(ctx, wire.NetworkUnix, c.socket)
	}
	defer s.Close()
	path := s.DialPath()
	if path == "" { // it could not be checked
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

// findOutside finds out whose the plugin's main socket is, if it is outside and was not
// connected to yet: a plugin that was refused also leaves it behind. Nothing is sent.
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

// isOutside reports whether the plugin's main socket is on this machine and in none of
// the directories that this host removes.
func (c *Client) isOutside() bool {
	return c.socket != "" && !c.settings.sockets.ownDial && filepath.IsAbs(c.socket) &&
		filepath.Dir(c.socket) != c.socketDir() && c.attachedDir == nil
}

// ofPlugin reports whether a process is the plugin's, or one that the plugin has
// started.
func (c *Client) ofPlugin(pid int) bool {
	return pid > 0 && c.proc.pid > 0 && (pid == c.proc.pid || slices.Contains(procid.Ancestors(pid), c.proc.pid))
}

// removeLeft removes what a plugin that has ended left outside of its directory.
func (c *Client) removeLeft() {
	if s := c.dialled.outside.Load(); s != nil {
		// The plugin may have removed it itself.
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

// holdAttached holds the directory that has the sockets of a plugin that was attached
// to, if a host of this library has made it.
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

// sweep removes what dead hosts have left where this one makes directories.
func (c *Client) sweep() {
	sweepOnce(os.TempDir())
	if c.dir != nil {
		sweepOnce(filepath.Dir(filepath.Dir(c.dir.path)))
	}
}
