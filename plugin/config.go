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
	"github.com/tenonrpc/tenon/wire"
)

// ServeConfig says what a plugin serves and how. The zero value of every field
// but Handshake and the sets is right for a plugin. It is copied on entry and
// never changed. The fields stand in groups; the first line above a group says what
// it is about.
type ServeConfig struct {
	// What host and plugin agreed on, and what is served.
	//
	// Handshake is what the host has, too. Both cookie fields must be set.
	Handshake
	// Plugins is served for Handshake.ProtocolVersion.
	Plugins Set
	// Versions holds a set for each protocol version that the plugin speaks.
	// The highest version that the host speaks as well is served. Plugins, if
	// set, adds ProtocolVersion to them, unless Versions has that one itself.
	Versions map[int]Set
	// Reflection, if set to reflection.Register of h2grpc/reflection, adds gRPC
	// reflection, by which tools such as grpcurl list the plugin's services and read
	// their descriptors. No host needs it, so who does not name it does not link it.
	// It is called once for the plugin's server, with the descriptors of the
	// protocol's own services.
	Reflection func(s *h2grpc.Server, extra ...[]byte)

	// How connections are secured and made, and their limits.
	//
	// TLS is for applications that distribute certificates of their own; it
	// is cloned. It serves the main connection and brokered servers, and dials
	// brokered connections. Nil means AutoMTLS if the host asks for it by
	// sending its certificate, and plaintext otherwise.
	TLS *tls.Config
	// Sockets says where the plugin listens, how it gets to its host, and who may
	// connect.
	Sockets Sockets
	// Server configures the gRPC servers, the main one and the brokered ones:
	// limits, interceptors, MapError. Its TLS must be nil. Exempt nil exempts the
	// protocol's own calls (controller, broker, output, health) of the main one from
	// interceptors and Stats: one that denies what it does not know would have the host
	// take the plugin for dead. MaxConnections and MaxHandshakes limit those of each
	// server, and all brokered ones together have no more handshakes than two may have.
	// Zero means 64 connections, and of handshakes what it means to package h2grpc, or
	// 128 for brokered servers.
	Server h2grpc.ServerConfig
	// Client configures brokered connections that the plugin dials. Its Dial
	// and TLS must be nil.
	Client h2grpc.ClientConfig
	// MaxBrokered limits the brokered listeners that are open at once, and the
	// connections that the host has made to all of them, to so many each. A further
	// listener is an error; a further connection waits in the system's queue, and
	// takes no descriptor of this process. Zero means 1024, a negative number no
	// limit.
	MaxBrokered int

	// What the plugin prints and logs.
	//
	// OutputBuffer is how many bytes of what the plugin prints wait for a host that
	// does not read them, both streams together, before more is counted and dropped.
	// Zero or less means 1 MiB. Hosts of this module read it from pipes of theirs, and
	// have host.Config.Output.Buffer for it.
	OutputBuffer int
	// Logger receives the few things that the library has to say; *slog.Logger
	// and hclog.Logger are fit for it. Nil means NewLogger on the real stderr,
	// which hosts log. Of lines with the same message the first ten are written;
	// after that there is one every ten seconds, with the number of those that it
	// stands for ("more_like_it").
	Logger Logger

	// How it ends.
	//
	// DrainTimeout bounds how long calls in progress may go on after the host
	// asked the plugin to stop; then they are cancelled. Zero or less means
	// 1.5 s, because go-plugin's hosts kill a plugin after 2 s.
	DrainTimeout time.Duration
	// OutliveHost keeps the plugin alive when its host is gone. Otherwise it
	// ends within two seconds, unless a host built with this module has said
	// that the plugin is to live on (host.Config.Detach). Hosts of this module
	// are noticed to be gone by a pipe that the plugin inherits. Other hosts are
	// taken to be gone when none is connected and the parent process has ended
	// or, on Linux, nobody reads stdout and stderr any more. A plugin that
	// multiplexes, because its host asked for it, ends with its one connection in
	// any case. On Windows a host of this module that has not said so has the
	// system end it all the same.
	OutliveHost bool

	// What stands in for a host that starts the plugin, and for a process of its own.
	//
	// Test serves a plugin that no host has started, for hosts to attach to. Nil
	// means the usual.
	Test *TestMode
	// Process stands in for what belongs to the whole process. Nil means the
	// real environment and streams, signals, and swapping os.Stdout and
	// os.Stderr for pipes to the host. With a Process no global state is
	// touched; any number of plugins can then be served side by side.
	Process *Process
}

// Sockets says where a plugin listens, how it gets to its host, and who may connect.
// The zero value is right for a plugin that its host starts on the same machine.
type Sockets struct {
	// Network is "unix" or "tcp"; empty means unix, and tcp on Windows. TCP
	// listens on 127.0.0.1 within the host's port range, where any local user
	// can connect: use it with AutoMTLS only.
	Network string
	// Listen opens the plugin's listeners in place of that: one for the main
	// connection, and one for each brokered one that the plugin accepts. They
	// may be anything that the host can reach by a "unix" or "tcp" address,
	// which is what the protocol can tell it. They are closed by the plugin, and
	// whom they let in is the application's business. Nil means Network.
	Listen func() (net.Listener, error)
	// Dial connects to where the host listens for brokered connections. The network is
	// "unix" or "tcp". Nil dials a path, or a TCP address that is literal or
	// localhost's; one that is unspecified, such as [::]:10000, means this machine.
	// Names are not looked up: who needs that can set Dial to net.Dialer's
	// DialContext, which makes a plugin some 200 kB larger.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// AllowUIDs are users who may connect besides the plugin's own and the host's, by
	// number. On Linux, the kernel says whose process is at the other end of a unix
	// socket, and connections of others are closed unread, brokered ones too. The
	// host's user is that of the parent process and of the one that made the pipe of
	// stdout. Without TLS, a host must also be a process that the plugin descends
	// from, unless ServeConfig.OutliveHost or Test is set, or the host has said that
	// the plugin is to live on. Nothing of this holds where the host opens the sockets
	// to a group, nor for Listen and Dial.
	AllowUIDs []int
}

// Process stands in for a process's environment and streams.
type Process struct {
	// Env is the environment as "NAME=value" entries. The last of several
	// entries with the same name counts.
	Env []string
	// Stdout receives the handshake line, in one Write, and nothing else. Nil
	// discards it.
	Stdout io.Writer
	// Stderr receives texts for humans, and log lines if ServeConfig.Logger is
	// nil. It must be safe for concurrent use. Nil discards them.
	Stderr io.Writer
}

// settle returns a checked copy of the configuration, with every version that
// it serves in Versions.
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
	if c.OutputBuffer <= 0 {
		c.OutputBuffer = defaultStdioBuffer
	}
	if c.DrainTimeout <= 0 {
		c.DrainTimeout = defaultDrainTimeout
	}
	return &c, nil
}
