// Conformance-server is the server that connectconformance tests: h2grpc's. It
// reads what is wanted of it on standard input, answers with its address, and
// serves until SIGTERM.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/gzip"
	pb "github.com/tenonrpc/tenon/plugin/interop/conformance/conformancepb"
	"github.com/tenonrpc/tenon/plugin/interop/conformance/internal/pipe"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "conformance-server:", err)
		os.Exit(1)
	}
}

func run() error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)

	var req pb.ServerCompatRequest
	if err := pipe.Read(os.Stdin, &req); err != nil {
		return fmt.Errorf("reading the request: %w", err)
	}
	cfg := &h2grpc.ServerConfig{
		Compressors:        []h2grpc.Compressor{gzip.New()},
		MaxRecvMessageSize: int(req.MessageReceiveLimit),
	}
	var err error
	if cfg.TLS, err = tlsConfig(&req); err != nil {
		return err
	}
	srv := h2grpc.NewServer(cfg)
	// The suite wants a method that the server does not have.
	desc := pb.ConformanceService_ServiceDesc
	desc.Methods = slices.DeleteFunc(slices.Clone(desc.Methods), func(m h2grpc.MethodDesc) bool { return m.MethodName == "Unimplemented" })
	srv.RegisterService(&desc, service{})

	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(lis) }()
	err = pipe.Write(os.Stdout, &pb.ServerCompatResponse{
		Host:    "127.0.0.1",
		Port:    uint32(lis.Addr().(*net.TCPAddr).Port),
		PemCert: req.GetServerCreds().GetCert(),
	})
	if err != nil {
		return fmt.Errorf("writing the response: %w", err)
	}
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

// tlsConfig is the TLS configuration that req asks for; nil for none.
func tlsConfig(req *pb.ServerCompatRequest) (*tls.Config, error) {
	if !req.UseTls {
		req.ServerCreds = nil
		return nil, nil
	}
	cert, err := tls.X509KeyPair(req.GetServerCreds().GetCert(), req.GetServerCreds().GetKey())
	if err != nil {
		return nil, fmt.Errorf("the server's certificate: %w", err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}}
	if len(req.ClientTlsCert) > 0 {
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
		cfg.ClientCAs = x509.NewCertPool()
		if !cfg.ClientCAs.AppendCertsFromPEM(req.ClientTlsCert) {
			return nil, errors.New("the client's certificate is not PEM")
		}
	}
	return cfg, nil
}
