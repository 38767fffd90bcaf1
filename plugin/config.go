package plugin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/health"
	"github.com/tenonrpc/tenon/plugin/internal/control"
	"github.com/tenonrpc/tenon/wire"
)

// HealthService is the service whose status in ServeConfig.Health is that of the plugin
// as a whole.
const HealthService = control.HealthService

// ServeConfig configures a plugin. The zero value of every field is right for a plugin,
// except Handshake and the sets (Plugins, Versions). Serve copies the configuration and
// never changes it. The fields are in groups; the first line above a group names it.
type ServeConfig struct {
	// Handshake and services.
	//
	// Handshake must be the same as the host's. Both cookie fields must be set.
	Handshake
	// Plugins is served as version Handshake.ProtocolVersion.
	Plugins Set
	// Versions holds a set for each protocol version that the plugin speaks. The highest
	// version that the host speaks too is served; without a common version the plugin
	// announces its lowest one, and the host refuses it. Plugins, if set, is added to
	// Versions under ProtocolVersion, unless Versions has that version already; otherwise
	// ProtocolVersion is not used.
	Versions map[int]Set
	// Reflection adds gRPC reflection if it is set to reflection.Register of package
	// h2grpc/reflection, so that tools such as grpcurl can list the plugin's services and
	// read their descriptors. No host needs it, and a program that does not name it does
	// not link it. It is called once, for the main server, with the descriptors of the
	// protocol's own services.
	Reflection func(s *h2grpc.Server, extra ...[]byte)
	// Health says how the plugin is. In it the application sets the status of the service
	// [HealthService], for which the host's Ping asks, and of others that it names, before
	// the plugin serves or at any time while it does. HealthService is SERVING unless it
	// was set, and without Health always. Panics of functions in it go to Logger.
	Health *health.Server

	// Connections: security, sockets and limits.
	//
	// TLS is for applications that distribute certificates of their own; it is cloned.
	// Their hosts set host.Config.TLS. It is used for the main connection, for brokered
	// servers, and for brokered connections that the plugin dials, so it must be able to
	// verify the host both as a client (ClientAuth, ClientCAs) and as a server (RootCAs;
	// a ServerName that is empty is Client.Authority, or else localhost). Nil means
	// AutoMTLS if the host sends its certificate, and plaintext otherwise.
	TLS *tls.Config
	// Sockets configures where the plugin listens, how it dials its host, and who may
	// connect.
	Sockets Sockets
	// Server configures the main gRPC server and the brokered ones: limits, interceptors,
	// MapError. Its TLS must be nil. If Exempt is nil, the protocol's own calls on the
	// main server (controller, broker, output, health) bypass interceptors and Stats: an
	// interceptor that rejected them would make the host believe that the plugin is dead.
	// MaxConnections and MaxHandshakes apply to each server; all brokered servers
	// together may have at most twice MaxHandshakes. Zero MaxConnections means 64; zero
	// MaxHandshakes means h2grpc's default for the main server and 128 for brokered ones.
	Server h2grpc.ServerConfig
	// Client configures the brokered connections that the plugin dials. Its Dial and TLS
	// must be nil.
	Client h2grpc.ClientConfig
	// MaxBrokered limits how many brokered listeners are open at once, and, separately,
	// how many connections the host has to all of them. One listener more is an error;
	// one connection more waits in the system's queue and takes no descriptor of this
	// process. Zero means 1024, a negative number no limit.
	MaxBrokered int

	// Output and log.
	//
	// OutputBuffer limits, in bytes, the output that waits for a host that is not
	// reading, for stdout and stderr together; the rest is counted and dropped. Zero or
	// less means 1 MiB. Hosts built with this module read the output from pipes of their
	// own instead, with host.Config.Output.Buffer, unless the plugin is to outlive them.
	OutputBuffer int
	// Logger receives the library's few messages; a *slog.Logger or an hclog.Logger will
	// do. Nil means NewLogger on the process's original stderr, which hosts log. Of
	// messages with the same text the first ten are logged, then one every ten seconds
	// with the number of those left out ("more_like_it").
	Logger Logger

	// Stopping.
	//
	// DrainTimeout bounds how long calls in progress may run after the plugin was asked
	// to stop; after that they are cancelled. Zero or less means 1.5 s, because
	// go-plugin's hosts kill a plugin after 2 s.
	DrainTimeout time.Duration
	// OutliveHost keeps the plugin running when its host is gone. Otherwise the plugin
	// ends within two seconds of its host, unless a host built with this module has said
	// that the plugin is to outlive it (host.Config.Detach). The end of such a host
	// closes a pipe that the plugin inherited. Any other host is taken to be gone when no
	// host is connected and either the parent process has ended or, on Linux, nothing
	// reads stdout and stderr any more. A plugin that multiplexes, because its host asked
	// for it, always ends with its only connection. On Windows a host of this module that
	// has not set Detach has the system end the plugin in any case.
	OutliveHost bool

	// Tests and debuggers.
	//
	// Test serves a plugin without a host that started it, for hosts to attach to. Nil
	// means that a host has started it.
	Test *TestMode
	// Process replaces everything that belongs to the whole process. Nil means the real
	// environment, streams and signals, and that os.Stdout and os.Stderr are replaced by
	// pipes to the host. With a Process no global state is touched, and any number of
	// plugins can be served at the same time.
	Process *Process
}

// Sockets configures where a plugin listens, how it dials its host, and who may connect.
// The zero value is right for a plugin that its host starts on the same machine.
type Sockets struct {
	// Network is "unix" or "tcp". Empty means unix, or tcp on Windows. With tcp the
	// plugin listens on 127.0.0.1 within the host's port range, where any local user can
	// connect: use it only with TLS.
	Network string
	// Listen, if it is not nil, opens all listeners of the plugin: one for the main
	// connection, and one for each brokered connection that the plugin accepts. They may
	// be of any kind, if the host can reach them at a "unix" or "tcp" address, which is
	// all that the protocol can tell it. The plugin closes them; whom they let connect is
	// up to the application. Network must then be empty.
	Listen func() (net.Listener, error)
	// Dial connects to where the host listens for brokered connections. The network is
	// "unix" or "tcp". Nil dials a path, or a TCP address that is a literal IP address or
	// localhost; an unspecified one, such as [::]:10000, means this machine. Other names
	// are not looked up: to allow them, set Dial to net.Dialer's DialContext, which makes
	// a plugin some 200 kB larger.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// AllowUIDs are the numbers of users who may connect besides the plugin's own and the
	// host's. On Linux the plugin asks the kernel which process is at the other end of a
	// unix socket, and closes connections of other users unread, brokered ones too. The
	// host's users are that of the parent process and the one who made the pipe that is
	// stdout. Without TLS, the host must also be an ancestor of the plugin's process,
	// unless ServeConfig.OutliveHost or Test is set, or the host has said that the plugin
	// is to outlive it. None of this applies if the host opens the sockets to a group,
	// nor to Listen and Dial.
	AllowUIDs []int
}

// Process stands in for a process's environment and streams. See ServeConfig.Process.
type Process struct {
	// Env is the environment as "NAME=value" entries. If a name occurs several times, the
	// last entry counts.
	Env []string
	// Stdout receives the handshake line, in one Write, and nothing else. Nil discards
	// it.
	Stdout io.Writer
	// Stderr receives texts for people, and the log if ServeConfig.Logger is nil. It must
	// be safe for concurrent use. Nil discards them.
	Stderr io.Writer
}

// settle returns a checked copy of the configuration, with all versions that it serves in
// Versions.
func (cfg *ServeConfig) settle() (*ServeConfig, error) {
	c := *cfg
	switch {
	case c.MagicCookieKey == "" || c.MagicCookieValue == "":
		return nil, errors.New("plugin: ServeConfig.MagicCookieKey and MagicCookieValue must both be set")
	case c.Server.TLS != nil:
		return nil, errors.New("plugin: ServeConfig.Server.TLS is set; set ServeConfig.TLS instead")
	case c.Client.TLS != nil || c.Client.Dial != nil:
		return nil, errors.New("plugin: ServeConfig.Client.TLS and Client.Dial must be nil: the broker sets them")
	}
	c.Versions = make(map[int]Set, len(cfg.Versions)+1)
	maps.Copy(c.Versions, cfg.Versions)
	if _, ok := c.Versions[c.ProtocolVersion]; !ok && c.Plugins != nil {
		c.Versions[c.ProtocolVersion] = c.Plugins
	}
	if len(c.Versions) == 0 {
		return nil, errors.New("plugin: ServeConfig has neither Plugins nor Versions: there is nothing to serve")
	}
	for version, set := range c.Versions {
		if version < 0 || version > wire.MaxVersion {
			return nil, fmt.Errorf("plugin: ServeConfig has the protocol version %d; versions go from 0 to %d", version, wire.MaxVersion)
		}
		for name, p := range set {
			if p == nil {
				return nil, fmt.Errorf("plugin: ServeConfig: the plugin %q of protocol version %d is nil", name, version)
			}
		}
	}
	c.TLS = c.TLS.Clone()
	if c.Health == nil {
		c.Health = health.NewServer()
	}
	if c.OutputBuffer <= 0 {
		c.OutputBuffer = defaultStdioBuffer
	}
	if c.DrainTimeout <= 0 {
		c.DrainTimeout = defaultDrainTimeout
	}
	return &c, nil
}
