// Interop-server is the server of gRPC's interoperability tests on h2grpc. It
// prints the address it listens on, and serves until SIGTERM.
package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin/interop/conformance/internal/credentials"
	pb "github.com/tenonrpc/tenon/plugin/interop/conformance/interoppb"
)

func main() {
	cert := flag.String("cert", "", "the server's certificate, a PEM `file`; without one it serves plaintext")
	key := flag.String("key", "", "the certificate's key, a PEM `file`")
	flag.Parse()
	if err := run(*cert, *key); err != nil {
		fmt.Fprintln(os.Stderr, "interop-server:", err)
		os.Exit(1)
	}
}

func run(cert, key string) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	tls, err := credentials.Server(cert, key)
	if err != nil {
		return err
	}
	srv := h2grpc.NewServer(&h2grpc.ServerConfig{TLS: tls})
	// One method and one service are called to see that they are not there.
	desc := pb.TestService_ServiceDesc
	desc.Methods = slices.DeleteFunc(slices.Clone(desc.Methods), func(m h2grpc.MethodDesc) bool { return m.MethodName == "UnimplementedCall" })
	srv.RegisterService(&desc, service{})

	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(lis) }()
	fmt.Println(lis.Addr())
	select {
	case <-stop:
		srv.Close()
		if err = <-served; errors.Is(err, h2grpc.ErrServerClosed) {
			err = nil
		}
	case err = <-served:
	}
	return err
}
