// Interop-client is the client of gRPC's interoperability tests on h2grpc. It
// runs one test case; its exit status says whether it passed.
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin/interop/conformance/internal/credentials"
	pb "github.com/tenonrpc/tenon/plugin/interop/conformance/interoppb"
)

// patience bounds a test case.
const patience = 20 * time.Second

func main() {
	addr := flag.String("addr", "", "the server's `address`")
	ca := flag.String("ca", "", "the certificate to trust, a PEM `file`; without one the connection is plaintext")
	name := flag.String("name", "localhost", "the `name` in the server's certificate")
	test := flag.String("case", "", "the test `case`: "+strings.Join(slices.Sorted(maps.Keys(cases)), " "))
	flag.Parse()
	if err := run(*addr, *ca, *name, *test); err != nil {
		fmt.Fprintf(os.Stderr, "interop-client: %s: %v\n", *test, err)
		os.Exit(1)
	}
}

func run(addr, ca, name, test string) error {
	do := cases[test]
	if do == nil {
		return fmt.Errorf("there is no test case %q", test)
	}
	cfg, err := credentials.Client(ca, name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s := &server{addr: addr, tls: cfg}
	c := s.connect()
	defer c.close()
	return do(ctx, c)
}

// server is who is called.
type server struct {
	addr string
	tls  *tls.Config
}

// client is a connection to the server.
type client struct {
	pb.TestServiceClient
	server *server
	cc     *h2grpc.ClientConn
}

// connect returns a new connection.
func (s *server) connect() *client {
	cc := h2grpc.NewClient(&h2grpc.ClientConfig{
		TLS: s.tls,
		Dial: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", s.addr)
		},
	})
	return &client{pb.NewTestServiceClient(cc), s, cc}
}

func (c *client) close() { c.cc.Close() }
