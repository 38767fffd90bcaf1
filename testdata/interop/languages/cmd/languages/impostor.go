package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os/exec"
	"time"

	"github.com/tenonrpc/tenon/cmd/internal/kv"
	"github.com/tenonrpc/tenon/cmd/internal/kvshared"
	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin/host"
)

// someone returns the certificate of somebody who takes no part, and its key.
func someone() (certificate []byte, key *ecdsa.PrivateKey, err error) {
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour)}
	certificate, err = x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return certificate, key, err
}

// forged runs a host on a plugin that announces another certificate than it
// has. The host is to refuse it, and to say text.
func forged(uses func(command ...string) *exec.Cmd, plugin, text string) func(context.Context) error {
	return failing(func(ctx context.Context) error {
		certificate, _, err := someone()
		if err != nil {
			return err
		}
		const script = `"$0" | sed -u "s#|grpc|.*#|grpc|$1#"`
		command := uses("sh", "-c", script, plugin, base64.RawStdEncoding.EncodeToString(certificate))
		return foreign(func() *exec.Cmd { return command })(ctx)
	}, text)
}

// impostors calls a plugin whose author compares certificates himself. Who has
// another certificate than the host is to be refused, and so is who shows the
// host's without having its key.
func impostors(launch launcher) func(context.Context) error {
	return func(ctx context.Context) error {
		s, err := host.Start(ctx, &host.Config{Handshake: kvshared.Handshake, Cmd: launch(), Curve: host.P256, Detach: true})
		if err != nil {
			return err
		}
		defer s.Kill()
		record, err := s.ReattachWithKey()
		if err != nil {
			return err
		}
		hosts, err := x509.ParsePKCS8PrivateKey(record.HostKey)
		if err != nil {
			return err
		}
		other, own, err := someone()
		if err != nil {
			return err
		}
		for _, c := range []struct {
			who         string
			certificate []byte
			key         any
			served      bool
		}{
			{"another certificate", other, own, false},
			{"the host's certificate and another key", record.HostCertificate, own, false},
			{"the host's certificate and key", record.HostCertificate, hosts, true}, // it is none of the above for another reason
		} {
			conn := h2grpc.NewClient(&h2grpc.ClientConfig{
				Dial: func(ctx context.Context) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, record.Network, record.Address)
				},
				TLS: &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{{Certificate: [][]byte{c.certificate}, PrivateKey: c.key}}},
			})
			_, err := kv.NewKVClient(conn).Put(ctx, &kv.PutRequest{Key: "mine"})
			conn.Close()
			if c.served && err != nil {
				return fmt.Errorf("%s: %w", c.who, err)
			}
			if !c.served && err == nil {
				return fmt.Errorf("%s: %w", c.who, errServed)
			}
			if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" {
				return fmt.Errorf("%s: it did not get as far as TLS: %w", c.who, err)
			}
		}
		return s.Close()
	}
}
