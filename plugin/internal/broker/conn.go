package broker

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"

	"github.com/tenonrpc/tenon/h2grpc"
)

// DialConn is Dial for callers that use the connection themselves. See plugin.Broker.
func (b *Broker) DialConn(ctx context.Context, id uint32) (net.Conn, error) {
	ctx, cancel := b.bound(ctx)
	defer cancel()
	conn, err := b.via.connect(ctx, id)
	if err == nil {
		conn, err = b.secureDialled(ctx, conn)
	}
	if err != nil {
		return nil, fmt.Errorf("plugin: broker: dialling id %d: %w", id, err)
	}
	return conn, nil
}

// AcceptConn accepts one connection. See plugin.Broker.
func (b *Broker) AcceptConn(ctx context.Context, id uint32) (net.Conn, error) {
	ctx, cancel := b.bound(ctx)
	defer cancel()
	l, err := b.listen(ctx, id, true)
	if err != nil {
		return nil, err
	}
	sh := b.shaken(ctx, id, l, true)
	defer sh.Close()
	conn, err := sh.Accept()
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("the other side has not connected: %w", context.Cause(ctx))
		}
		return nil, fmt.Errorf("plugin: broker: accepting id %d: %w", id, err)
	}
	return conn, nil
}

// shaken is a listener whose connections have completed the TLS handshake, if there is
// one. Where others can connect, handshakes run concurrently, so that a silent connection
// delays nobody; the listener limits how many can be in progress.
type shaken struct {
	*listener
	id   uint32
	grpc bool // the other end may require the protocol of gRPC in TLS
	ctx  context.Context
	end  context.CancelFunc

	ready  chan net.Conn // nil: Accept performs the handshakes
	failed chan error
	closed chan struct{} // closed when nothing more is accepted
	all    sync.WaitGroup
}

func (b *Broker) shaken(ctx context.Context, id uint32, l *listener, grpc bool) *shaken {
	s := &shaken{listener: l, id: id, grpc: grpc}
	s.ctx, s.end = context.WithCancel(ctx)
	context.AfterFunc(s.ctx, func() { l.Close() })
	if b.cfg.ServerTLS != nil && b.cfg.Mux == nil {
		s.ready, s.failed, s.closed = make(chan net.Conn), make(chan error), make(chan struct{})
		s.all.Go(s.accept)
	}
	return s
}

// Accept returns the next connection whose handshake is complete.
func (s *shaken) Accept() (net.Conn, error) {
	if s.ready == nil {
		for {
			raw, err := s.listener.accept()
			if err != nil {
				return nil, err
			}
			if conn := s.shake(raw); conn != nil {
				return conn, nil
			}
		}
	}
	select {
	case conn := <-s.ready:
		return conn, nil
	case err := <-s.failed:
		return nil, err
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

// Close closes the listener, and the connections that were not accepted.
func (s *shaken) Close() error {
	err := s.listener.Close() // before anything else closes it, which would find nothing to close
	s.end()
	s.all.Wait()
	return err
}

// accept accepts connections until the listener is closed. Accept returns other errors;
// its caller may try again.
func (s *shaken) accept() {
	defer close(s.closed)
	for {
		raw, err := s.listener.accept()
		switch {
		case err == nil:
			s.all.Go(func() { s.offer(raw) })
		case errors.Is(err, net.ErrClosed):
			return
		default:
			select {
			case s.failed <- err:
			case <-s.ctx.Done():
				return
			}
		}
	}
}

// offer passes a connection to Accept once its handshake is complete.
func (s *shaken) offer(raw *conn) {
	conn := s.shake(raw)
	if conn == nil {
		return
	}
	select {
	case s.ready <- conn:
	case <-s.ctx.Done():
		conn.Close()
	}
}

// shake performs the handshake. It returns nil if that fails.
func (s *shaken) shake(raw *conn) net.Conn {
	conn, err := s.broker.secureAccepted(s.ctx, raw, s.grpc)
	if err == nil {
		return conn
	}
	if s.ctx.Err() == nil || !errors.Is(err, s.ctx.Err()) {
		// It was a stranger, or the other side, which has given up and may connect again.
		s.broker.cfg.Logger.Warn("a brokered connection failed", "id", s.id, "err", err)
		if d, ok := s.Listener.(interface{ reopen() }); ok {
			d.reopen()
		}
	}
	return nil
}

// secureDialled performs the TLS handshake, if there is one, on a connection that was
// dialled. It closes the connection if that fails.
func (b *Broker) secureDialled(ctx context.Context, raw net.Conn) (net.Conn, error) {
	cfg := b.cfg.ClientTLS
	if cfg == nil {
		return raw, nil
	}
	cfg = asGRPC(cfg)
	if cfg.ServerName == "" && !cfg.InsecureSkipVerify {
		cfg = cfg.Clone()
		cfg.ServerName = cmp.Or(b.cfg.Client.Authority, "localhost") // the same as in h2grpc
	}
	return b.shake(ctx, tls.Client(raw, cfg))
}

// secureAccepted is secureDialled for a connection that was accepted. The handshake
// proves the connection.
func (b *Broker) secureAccepted(ctx context.Context, raw *conn, grpc bool) (net.Conn, error) {
	var conn net.Conn = raw
	if cfg := b.cfg.ServerTLS; cfg != nil {
		if grpc {
			// A server of TLS 1.3 writes the session ticket last, when a client may
			// already have sent everything and closed the connection. The write would fail,
			// and the connection would be lost.
			cfg = asGRPC(cfg).Clone()
			cfg.SessionTicketsDisabled = true
		}
		var err error
		if conn, err = b.shake(ctx, tls.Server(raw, cfg)); err != nil {
			return nil, err
		}
	}
	if raw.Established(); raw.place.Evicted() {
		conn.Close()
		return nil, errors.New("it was closed to make room for a newer one")
	}
	return conn, nil
}

// asGRPC makes TLS negotiate gRPC's protocol: the other end may require it, and does not
// know that this is not a gRPC server.
func asGRPC(cfg *tls.Config) *tls.Config {
	const h2 = "h2"
	if slices.Contains(cfg.NextProtos, h2) {
		return cfg
	}
	cfg = cfg.Clone()
	cfg.NextProtos = []string{h2}
	return cfg
}

func (b *Broker) shake(ctx context.Context, conn *tls.Conn) (net.Conn, error) {
	limit := b.cfg.Server.HandshakeTimeout
	if limit <= 0 {
		limit = h2grpc.DefaultHandshakeTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		conn.NetConn().Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return conn, nil
}
