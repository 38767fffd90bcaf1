package plugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"

	"github.com/tenonrpc/tenon/plugin/internal/files"
	"github.com/tenonrpc/tenon/plugin/internal/group"
	"github.com/tenonrpc/tenon/plugin/internal/local"
	"github.com/tenonrpc/tenon/plugin/internal/peercred"
	"github.com/tenonrpc/tenon/wire"
)

// listener opens the plugin's listeners, for the main connection and for the broker, as
// the host's environment says or with the application's own function.
type listener struct {
	network string // "unix" or "tcp"
	env     wire.Env
	dir     string                       // for unix sockets; absolute, even if the working directory changes
	temp    string                       // the directory for temporary files; absolute, too
	used    atomic.Bool                  // a socket has been made in dir
	custom  func() (net.Listener, error) // ServeConfig.Sockets.Listen
	peers   *peercred.Policy
	log     Logger
	safe    <-chan struct{} // closed when a socket may be made; see signals
}

func newListener(c *ServeConfig, env wire.Env, safe <-chan struct{}) (*listener, error) {
	network := c.Sockets.Network
	switch {
	case c.Sockets.Listen != nil && network != "":
		return nil, errors.New("plugin: ServeConfig.Sockets.Network and Listen exclude each other: Listen chooses the network")
	case c.Sockets.Listen != nil:
	case network == wire.NetworkUnix, network == wire.NetworkTCP:
	case network != "":
		return nil, fmt.Errorf("plugin: ServeConfig.Sockets.Network is %q; use %q or %q", network, wire.NetworkUnix, wire.NetworkTCP)
	case runtime.GOOS == "windows":
		network = wire.NetworkTCP
	default:
		network = wire.NetworkUnix
	}
	l := &listener{network: network, env: env, dir: env.UnixSocketDir, custom: c.Sockets.Listen, log: c.Logger, safe: safe}
	if network == wire.NetworkUnix {
		l.temp, _ = filepath.Abs(os.TempDir()) // an empty path fails where it is used
		var err error
		if l.dir, err = filepath.Abs(cmp.Or(l.dir, os.TempDir())); err != nil {
			return nil, fmt.Errorf("plugin: the directory for sockets: %w", err)
		}
	}
	return l, nil
}

// listen opens a listener. If the application opens it, its address must be one that the
// protocol can tell the host.
func (l *listener) listen() (net.Listener, error) {
	switch {
	case l.custom == nil && l.network == wire.NetworkTCP:
		return l.listenTCP()
	case l.custom == nil:
		return l.listenUnix()
	}
	<-l.safe
	lis, err := l.custom()
	if err != nil {
		return nil, fmt.Errorf("plugin: ServeConfig.Sockets.Listen: %w", err)
	}
	if lis == nil {
		return nil, errors.New("plugin: ServeConfig.Sockets.Listen returned neither a listener nor an error")
	}
	network, address := lis.Addr().Network(), lis.Addr().String()
	if network != wire.NetworkUnix && network != wire.NetworkTCP || !wire.ValidAddress(network, address) || wire.Unspeakable(address) >= 0 {
		lis.Close()
		return nil, fmt.Errorf("plugin: ServeConfig.Sockets.Listen returned a listener at %q of the network %q, which the handshake cannot describe; it must be unix with a path, or tcp with host:port, without '|' and control characters", address, network)
	}
	return lis, nil
}

// dial returns the function that connects to the host's brokered listeners.
func (c *ServeConfig) dial(peers *peercred.Policy) func(ctx context.Context, network, address string) (net.Conn, error) {
	if c.Sockets.Dial == nil {
		return peers.Dialer(local.Dial)
	}
	return c.Sockets.Dial
}

// listenTCP takes the first free port of the host's range. Without a range the system
// chooses.
func (l *listener) listenTCP() (net.Listener, error) {
	var last error
	for port := l.env.MinPort; port <= l.env.MaxPort; port++ {
		tcp, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if err == nil {
			return tcp, nil
		}
		last = err
	}
	return nil, fmt.Errorf("plugin: no free TCP port from %d to %d, the host's %s and %s: %w",
		l.env.MinPort, l.env.MaxPort, wire.EnvMinPort, wire.EnvMaxPort, last)
}

// listenUnix makes a socket with a new name in the host's directory, or in the directory
// for temporary files. The listener removes it when it is closed.
func (l *listener) listenUnix() (net.Listener, error) {
	access, err := l.access()
	if err != nil {
		return nil, err
	}
	unix, err := l.bindUnix(l.dir, access)
	if errors.Is(err, fs.ErrNotExist) && l.used.Load() {
		// Something removes old files here; the host need not know.
		unix, err = l.bindUnix(l.temp, access)
	}
	if err != nil {
		return nil, err
	}
	l.used.Store(true)
	return l.peers.Listener(unix, func(err error) {
		l.log.Warn("a connection was refused", "err", err)
	}), nil
}

// socketPrefix begins the names of a plugin's sockets, as in go-plugin.
const socketPrefix = "plugin"

// maxSocketPathOn returns the limit of a system for the paths of unix sockets.
func maxSocketPathOn(goos string) int {
	switch goos {
	case "linux", "android", "windows":
		return maxSocketPath
	}
	return maxSocketPathSmall
}

func (l *listener) bindUnix(dir string, access files.Access) (net.Listener, error) {
	limit := maxSocketPathOn(runtime.GOOS)
	if n := len(filepath.Join(dir, socketPrefix)) + files.NameLength; n > limit {
		return nil, fmt.Errorf("plugin: the path of a socket in %q has %d bytes, but the system allows %d: the host must choose a shorter directory in %s, or the user one in TMPDIR",
			dir, n, limit, wire.EnvUnixSocketDir)
	}
	if wire.Unspeakable(dir) >= 0 {
		return nil, fmt.Errorf("plugin: the directory for sockets, %q, contains a '|' or a control character, which the handshake cannot carry: the host must choose another directory in %s, or the user one in TMPDIR",
			dir, wire.EnvUnixSocketDir)
	}
	unix, err := files.Listen(dir, socketPrefix, access, l.safe)
	if err == nil {
		return unix, nil
	}
	if errors.Is(err, fs.ErrPermission) && l.env.UnixSocketDir != "" {
		return nil, fmt.Errorf("plugin: user %d may not make sockets in %q: %w: the host must put this user first in Sockets.AllowUIDs, or set Sockets.Group", os.Geteuid(), dir, err)
	}
	return nil, fmt.Errorf("plugin: making a socket in the directory %q: %w", dir, err)
}

// access lets only the plugin's user connect, and the host's group if the host names one.
func (l *listener) access() (files.Access, error) {
	name := l.env.UnixSocketGroup
	if name == "" {
		return files.Private(files.SocketMode), nil
	}
	gid, err := group.ID(name)
	if err != nil {
		return files.Access{}, fmt.Errorf("plugin: the group for the socket, %q in %s: %w", name, wire.EnvUnixSocketGroup, err)
	}
	return files.Access{UID: -1, GID: gid, Mode: group.SocketMode}, nil
}
