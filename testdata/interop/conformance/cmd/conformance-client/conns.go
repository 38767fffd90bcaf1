package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/gzip"
	pb "github.com/tenonrpc/tenon/plugin/interop/conformance/conformancepb"
)

// conns holds the connections, one for each server and way of talking to it.
type conns struct {
	mu sync.Mutex
	m  map[target]*h2grpc.ClientConn // guarded by mu
}

// target is what the calls of one connection have in common.
type target struct {
	addr               string
	serverCert         string
	clientCert, keyPEM string
	limit              uint32
	gzip               bool
}

// get returns the connection for a call.
func (c *conns) get(req *pb.ClientCompatRequest) (*h2grpc.ClientConn, error) {
	t := target{
		addr:       net.JoinHostPort(req.Host, strconv.Itoa(int(req.Port))),
		serverCert: string(req.ServerTlsCert),
		clientCert: string(req.GetClientTlsCreds().GetCert()),
		keyPEM:     string(req.GetClientTlsCreds().GetKey()),
		limit:      req.MessageReceiveLimit,
		gzip:       req.Compression == pb.Compression_COMPRESSION_GZIP,
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if cc := c.m[t]; cc != nil {
		return cc, nil
	}
	cfg := &h2grpc.ClientConfig{
		Authority:          t.addr,
		MaxRecvMessageSize: int(t.limit),
		Dial: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", t.addr)
		},
	}
	if t.gzip {
		cfg.Compressors = []h2grpc.Compressor{gzip.New()}
	}
	if t.serverCert != "" {
		cfg.TLS = &tls.Config{RootCAs: x509.NewCertPool(), ServerName: req.Host}
		if !cfg.TLS.RootCAs.AppendCertsFromPEM(req.ServerTlsCert) {
			return nil, errors.New("the server's certificate is not PEM")
		}
		if t.clientCert != "" {
			own, err := tls.X509KeyPair([]byte(t.clientCert), []byte(t.keyPEM))
			if err != nil {
				return nil, fmt.Errorf("the client's certificate: %w", err)
			}
			cfg.TLS.Certificates = []tls.Certificate{own}
		}
	}
	if c.m == nil {
		c.m = map[target]*h2grpc.ClientConn{}
	}
	cc := h2grpc.NewClient(cfg)
	c.m[t] = cc
	return cc, nil
}

func (c *conns) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cc := range c.m {
		cc.Close()
	}
}
