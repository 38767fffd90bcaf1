// H2specd-client makes one call to the server whose URL is its last argument,
// which is how h2specd, the part of h2spec that tests clients, starts a client.
// What becomes of the call does not matter: h2specd judges what it sees on the
// connection.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	pb "github.com/tenonrpc/tenon/plugin/interop/conformance/interoppb"
)

// patience is how long the call and what follows it may take: as long as h2specd
// waits for what it expects of the client.
const patience = 2700 * time.Millisecond

// errOnce says that the one connection has been made. A call that the server has
// certainly not acted on is tried again on another connection, which h2specd
// would take for another run of the case.
var errOnce = errors.New("only one connection is tested")

// watched is a connection that says when it has ended.
type watched struct {
	net.Conn
	ended chan struct{}
	once  sync.Once
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if err != nil {
		w.once.Do(func() { close(w.ended) })
	}
	return n, err
}

func main() {
	flag.Parse()
	if err := run(flag.Arg(flag.NArg() - 1)); err != nil {
		fmt.Fprintln(os.Stderr, "h2specd-client:", err)
		os.Exit(1)
	}
}

func run(target string) error {
	u, err := url.Parse(target)
	if err != nil {
		return err
	}
	var conn *watched
	cfg := &h2grpc.ClientConfig{
		Authority: u.Host,
		Dial: func(ctx context.Context) (net.Conn, error) {
			if conn != nil {
				return nil, errOnce
			}
			nc, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
			if err != nil {
				return nil, err
			}
			conn = &watched{Conn: nc, ended: make(chan struct{})}
			return conn, nil
		},
	}
	if u.Scheme == "https" {
		// Whose certificate it is has no part in what is tested.
		cfg.TLS = &tls.Config{InsecureSkipVerify: true}
	}
	cc := h2grpc.NewClient(cfg)
	defer cc.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err = pb.NewTestServiceClient(cc).EmptyCall(ctx, new(pb.Empty))
	fmt.Println(err)
	if conn == nil {
		return err
	}
	// Other calls would follow on the connection, so it stays open until the
	// server ends it.
	select {
	case <-conn.ended:
	case <-ctx.Done():
	}
	return nil
}
