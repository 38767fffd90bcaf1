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

// DialConn is Dial for those who speak on the connection themselves. See
// plugin.Broker.
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

// shaken is a listener whose connections have proved themselves, by the TLS handshake if
// there is to be one. Where strangers can connect, handshakes take place beside one
// another, so that those who say nothing hold up nobody; as many as may be under way is
// the listener's to say.
type shaken struct {
	*listener
	id   uint32
	grpc bool // the other end may insist on gRPC's protocol
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

// Accept returns the next connection whose handshake is over.
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
	err := s.listener.Close() // before others do, for whom there is nothing to close
	s.end()
	s.all.Wait()
	return err
}

// accept accepts connections until the listener is closed. Other errors are for
// whoever accepts, who may try again.
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

// offer offers a connection to Accept once its handshake is over.
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
		// A stranger's, or the other side's that has given up. It may come again.
		s.broker.cfg.Logger.Warn("a brokered connection failed", "id", s.id, "err", err)
		if d, ok := s.Listener.(interface{ reopen() }); ok {
			d.reopen()
		}
	}
	return nil
}

// secureDialled performs the TLS handshake, if there is to be one, on a connection
// that was dialled, which it closes if that fails.
func (b *Broker) secureDialled(ctx context.Context, raw net.Conn) (net.Conn, error) {
	cfg := b.cfg.ClientTLS
	if cfg == nil {
		return raw, nil
	}
	cfg = asGRPC(cfg)
	if cfg.ServerName == "" && !cfg.InsecureSkipVerify {
		cfg = cfg.Clone()
		cfg.ServerName = cmp.Or(b.cfg.Client.Authority, "localhost") // as h2grpc has it
	}
	return b.shake(ctx, tls.Client(raw, cfg))
}

// secureAccepted is secureDialled for a connection that was accepted, which has proved
// itself by that.
func (b *Broker) secureAccepted(ctx context.Context, raw *conn, grpc bool) (net.Conn, error) {
	var conn net.Conn = raw
	if cfg := b.cfg.ServerTLS; cfg != nil {
		if grpc {
			// A ticket is what a server of TLS 1.3 writes last, when a client may have sent
			// all that it had to say, and gone: its connection would be taken for none.
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
		return nil, errors.New("it has made room for a newer one")
	}
	return conn, nil
}

// asGRPC has TLS agree on the protocol that gRPC is on: the other end may insist,
// and does not know that here is another program than usual.
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
