package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"time"

	"github.com/tenonrpc/tenon/cmd/internal/kv"
	"github.com/tenonrpc/tenon/cmd/internal/kvshared"
	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/peer"
	"github.com/tenonrpc/tenon/plugin/host"
)

// spoken is the text that the plugin is asked to log and print.
const spoken = "hello from inside the plugin"

// run starts the plugin at path, uses it, stops it, and writes the story to out.
func run(ctx context.Context, path string, out io.Writer) (err error) {
	story := newStory(out)
	begin := time.Now()
	client, err := host.Start(ctx, &host.Config{
		Handshake: kvshared.Handshake,
		Plugins:   kvshared.Plugins(nil),
		Cmd:       exec.Command(path),
		Output:    host.Output{Stdout: story.output("stdout"), Stderr: story.output("stderr")},
		Logger:    slog.New(story.logHandler(slog.LevelInfo)),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }() // does nothing after a Close that went well

	story.tell("launch", "%s, process %d, ready after %v", path, client.PID(), since(begin))
	store, err := host.Dispense[kv.KVClient](ctx, client, kvshared.Name)
	if err != nil {
		return err
	}
	if err := meet(ctx, story, client, store); err != nil {
		return err
	}
	if err := use(ctx, story, store); err != nil {
		return err
	}

	begin = time.Now()
	if err := client.Close(); err != nil {
		return fmt.Errorf("stopping the plugin: %w", err)
	}
	story.tell("exit", "asked to stop, the plugin ended with %v after %v", client.ExitStatus(), since(begin))
	return nil
}

// meet prints how host and plugin are connected.
func meet(ctx context.Context, story *story, client *host.Client, store kv.KVClient) error {
	if err := client.Ping(ctx); err != nil {
		return err
	}
	// A first call, to learn who answers it.
	var p peer.Peer
	if _, err := store.Delete(ctx, &kv.DeleteRequest{Key: "none"}, h2grpc.Peer(&p)); err != nil {
		return err
	}
	story.tell("handshake", "gRPC, application protocol %d, on %s %s", client.Version(), p.Addr.Network(), p.Addr)
	if p.TLS == nil {
		return errors.New("the connection is not encrypted")
	}
	story.tell("TLS", "%s with %v and %s; each side accepts nothing but the other's %s",
		tls.VersionName(p.TLS.Version), p.TLS.CurveID, tls.CipherSuiteName(p.TLS.CipherSuite), certificate(p.TLS))
	return nil
}

// certificate describes the certificate of the other side.
func certificate(state *tls.ConnectionState) string {
	if len(state.PeerCertificates) == 0 {
		return "no certificate"
	}
	cert := state.PeerCertificates[0]
	key := cert.PublicKeyAlgorithm.String()
	if k, ok := cert.PublicKey.(*ecdsa.PublicKey); ok {
		key += " " + k.Params().Name
	}
	return key + " certificate"
}

// since returns the time since begin, short enough to be read.
func since(begin time.Time) time.Duration {
	return time.Since(begin).Round(100 * time.Microsecond)
}
