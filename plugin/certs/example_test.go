package certs_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/certs"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/host/retry"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
	"github.com/tenonrpc/tenon/testdata/examples/kvshared"
)

// A plugin that somebody else starts, a service manager say, listens on a TCP address; a
// host knows the address, waits until the plugin is there, and both ask for the other's
// certificate.
func ExampleWatch() {
	dir, err := os.MkdirTemp("", "kv")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	if err := issue(dir); err != nil {
		fmt.Println(err)
		return
	}
	// The plugin's address is known beforehand; here, the system chooses it.
	main, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- serve(ctx, dir, main) }()

	client, err := attach(ctx, dir, main.Addr().String())
	if err != nil {
		fmt.Println(err)
	} else {
		_, err = kvpb.NewKVClient(client.Conn()).Put(ctx, &kvpb.Entry{Key: "hello"})
		fmt.Println("put:", err)
		client.Close() // the plugin stays
	}
	stop()
	fmt.Println("the plugin has ended:", <-ended)
	// Output:
	// put: <nil>
	// the plugin has ended: <nil>
}

// issue makes what each side gets, on a machine that nobody else uses.
func issue(dir string) error {
	ca, err := certs.NewCA(certs.Options{Name: "plugins of example.org"})
	if err != nil {
		return err
	}
	for _, name := range []string{"kv.example.org", "host.example.org"} {
		p, err := ca.Peer(certs.Options{Names: []string{name}})
		if err != nil {
			return err
		}
		if err := p.Write(filepath.Join(dir, name+".pem"), ""); err != nil {
			return err
		}
	}
	return certs.WriteCertificates(filepath.Join(dir, "cas.pem"), ca.Leaf)
}

// serve is the plugin's main function.
func serve(ctx context.Context, dir string, main net.Listener) error {
	own, err := certs.Watch(certs.WatchConfig{
		Certificate: filepath.Join(dir, "kv.example.org.pem"),
		CAs:         filepath.Join(dir, "cas.pem"),
	})
	if err != nil {
		return err
	}
	return plugin.ServeContext(ctx, &plugin.ServeConfig{
		Handshake: kvshared.Handshake,
		Plugins:   plugin.Set{"kv": kvshared.Plugin{}},
		TLS:       own.PeerConfig("host.example.org"),
		Sockets: plugin.Sockets{Listen: func() (net.Listener, error) {
			if l := main; l != nil { // the first one, and then those of the broker
				main = nil
				return l, nil
			}
			return net.Listen("tcp", "127.0.0.1:0")
		}},
		Test: &plugin.TestMode{Ready: func(plugin.Reattach) {}}, // no host has started it
	})
}

// attach is what the host does instead of starting the plugin.
func attach(ctx context.Context, dir, address string) (*host.Client, error) {
	own, err := certs.Watch(certs.WatchConfig{
		Certificate: filepath.Join(dir, "host.example.org.pem"),
		CAs:         filepath.Join(dir, "cas.pem"),
	})
	if err != nil {
		return nil, err
	}
	config := &host.Config{
		Handshake: kvshared.Handshake,
		TLS:       own.PeerConfig("kv.example.org"),
		// A record says which process the plugin is. This host cannot know that of a
		// plugin elsewhere, and names itself: a process that is there as long as it is.
		// Test says that it is not to be ended.
		Reattach: &host.Reattach{
			Protocol: "grpc", ProtocolVersion: 1, PID: os.Getpid(), Test: true,
			Network: "tcp", Address: address,
		},
		Sockets: host.Sockets{
			RemoteTCP: true, // for addresses of other machines
			// For what the plugin dials by the broker: an address that it can reach.
			Listen: func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") },
		},
		Logger: slog.New(slog.DiscardHandler),
	}
	// Tried again, for up to 30 seconds, while nobody listens there.
	client, err := retry.Start(ctx, config, retry.Policy{Attempts: 30})
	if errors.Is(err, certs.ErrUnknownCA) || errors.Is(err, certs.ErrExpired) {
		return nil, fmt.Errorf("something with a wrong certificate answers on %s: %w", address, err)
	}
	return client, err
}
