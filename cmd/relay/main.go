// Relay runs between a host and a plugin, and passes on everything that they exchange:
// an example for proxies, recorders and other programs that must work with any service.
//
//	relay -cookie NAME PROGRAM [ARGUMENT ...]
//
// NAME is the environment variable of the magic cookie, the only thing that the relay
// cannot find out itself. Start the relay where the host would start PROGRAM. To its
// host it is then a plugin, and to the plugin a host, with the protocol version that
// both have, and AutoMTLS and multiplexing as the host asks for them. Hosts and plugins
// may be made with this module, with go-plugin or with another library.
//
// It passes on: every call of the application, with its metadata, deadline, status and
// compression (gzip); health checks and reflection; brokered connections, in both
// directions, by the ids of host and plugin; what the plugin prints and logs; and the
// plugin's end.
//
// It does not work for hosts that send no list of protocol versions, nor with
// certificates of the application's own, since the relay does not have them; a relay
// that has them would set ServeConfig.TLS and host.Config.TLS. A host that attaches
// again (Reattach) attaches to the relay. Both sides can tell that the relay is there:
// the plugin's parent is the relay, and the addresses of connections and the user-agent
// are the relay's.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/gzip"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/wire"
)

func main() {
	cookie := flag.String("cookie", "", "the environment variable of the magic cookie")
	flag.Parse()
	stderr := os.Stderr // the process's own, which the host logs; serving replaces it
	if err := run(*cookie, flag.Args()); err != nil {
		fmt.Fprintln(stderr, "relay:", err)
		os.Exit(1)
	}
}

// run runs the plugin, from its start to its end.
func run(cookie string, command []string) error {
	value := os.Getenv(cookie)
	switch {
	case len(command) == 0 || cookie == "":
		return errors.New("usage: relay -cookie NAME PROGRAM [ARGUMENT ...]")
	case value == "":
		return fmt.Errorf("%s is not set: this program must be started by a plugin host", cookie)
	}
	// Ask the plugin for what the host asks for.
	asked, err := wire.ParseEnv(os.LookupEnv)
	if err != nil {
		return err
	}
	if len(asked.Versions) == 0 {
		return errors.New("the host has sent no list of its protocol versions, so none can be agreed on with the plugin")
	}
	multiplex, err := asked.Multiplexed()
	if err != nil {
		return err
	}
	versions := make(map[int]plugin.Set)
	for _, v := range asked.Versions {
		versions[v] = nil
	}
	serving := make(chan struct{}) // closed when os.Stdout and os.Stderr lead to the host
	compressors := []h2grpc.Compressor{gzip.New()}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	inner, err := host.Start(ctx, &host.Config{
		Handshake:         plugin.Handshake{MagicCookieKey: cookie, MagicCookieValue: value},
		Versions:          versions,
		Cmd:               exec.Command(command[0], command[1:]...),
		InheritEnv:        true, // the host has chosen it for the plugin
		InsecurePlaintext: asked.ClientCert == "",
		Multiplex:         multiplex,
		Output: host.Output{
			Stdout:    later{serving, func() *os.File { return os.Stdout }},
			Stderr:    later{serving, func() *os.File { return os.Stderr }},
			RawStderr: os.Stderr, // the plugin's log lines are for the host to read
		},
		Logger: slog.New(slog.DiscardHandler),
		// The two ends have limits of their own.
		Client: h2grpc.ClientConfig{MaxRecvMessageSize: -1, MaxSendMessageSize: -1, Compressors: compressors},
	})
	if err != nil {
		return err
	}
	defer inner.Close()
	go func() {
		<-inner.Done()
		cancel()
	}()

	calls := calls{inner}
	err = plugin.ServeContext(ctx, &plugin.ServeConfig{
		Handshake: plugin.Handshake{ProtocolVersion: inner.Version(), MagicCookieKey: cookie, MagicCookieValue: value},
		Plugins: plugin.Set{"relay": plugin.ServeOnly(func(broker *plugin.Broker, _ *h2grpc.Server) error {
			close(serving)
			go plugin.RelayBrokers(ctx, broker, inner.Broker(), nil)
			return nil
		})},
		Server: h2grpc.ServerConfig{
			Unknown:            calls.pass,
			Exempt:             func(string) bool { return false }, // the host asks for the plugin's health, not the relay's
			UnaryInterceptors:  []h2grpc.UnaryServerInterceptor{calls.unary},
			StreamInterceptors: []h2grpc.StreamServerInterceptor{calls.stream},
			MaxRecvMessageSize: -1, MaxSendMessageSize: -1,
			Compressors: compressors,
		},
	})
	if err == nil {
		err = inner.Err() // how the plugin has ended, if it has by itself
	}
	if err == nil {
		err = inner.Close()
	}
	return err
}

// later is a standard stream of this process that can be used once the host reads it.
// The first thing that this process may print is its handshake.
type later struct {
	serving <-chan struct{}
	file    func() *os.File
}

func (l later) Write(b []byte) (int, error) {
	<-l.serving
	return l.file().Write(b)
}
