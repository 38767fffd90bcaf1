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
	"github.com/tenonrpc/tenon/plugin/internal/automtls"
)

// DialConn is Dial for those who speak on the connection themselves. See
// plugin.Broker.
func (b *Broker) DialConn(ctx context.Context, id uint32) (net.Conn, error) {
	ctx, cancel := b.bound(ctx)
	defer cancel()
	conn, err := b.dialConn(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("plugin: broker: dialling id %d: %w", id, err)
	}
	return conn, nil
}

func (b *Broker) dialConn(ctx context.Context, id uint32) (net.Conn, error) {
	if b.cfg.Mux == nil {
		o, err := b.await(ctx, id)
		if err != nil {
			return nil, err
		}
		return b.dialOffer(ctx, o)
	}
	raw, err := b.knock(ctx, id)
	if err != nil {
		return nil, err
	}
	return b.secureDialled(ctx, raw)
}

// dialOffer connects to where the peer has announced that it listens.
func (b *Broker) dialOffer(ctx context.Context, o offer) (net.Conn, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	raw, err := b.cfg.Dial(ctx, o.network, o.address)
	if err != nil {
		return nil, err
	}
	return b.secureDialled(ctx, raw)
}

// AcceptConn accepts one connection. See plugin.Broker.
func (b *Broker) AcceptConn(ctx context.Context, id uint32) (net.Conn, error) {
	ctx, cancel := b.bound(ctx)
	defer cancel()
	l, err := b.listen(ctx, id, true)
	if err != nil {
		return nil, err
	}
	ctx, end := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer l.Close()
	defer end()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	// Strangers who connect and say nothing hold up nobody: the first whose handshake
	// ends has the connection. As many as may be under way is the listener's to say.
	won, failed := make(chan net.Conn), make(chan error, 1)
	all.Go(func() {
		for {
			raw, err := l.accept()
			if err != nil {
				failed <- err
				return
			}
			all.Go(func() {
				conn, err := b.secureAccepted(ctx, raw)
				switch {
				case err == nil:
					select {
					case won <- conn:
					case <-ctx.Done():
						conn.Close()
					}
				case ctx.Err() == nil || !errors.Is(err, ctx.Err()):
					// A stranger's, or the other side's that has given up. It may come again.
					b.cfg.Logger.Warn("a brokered connection failed", "id", id, "err", err)
					if d, ok := l.Listener.(*door); ok {
						d.reopen()
					}
				}
			})
		}
	})
	select {
	case conn := <-won:
		return conn, nil
	case err := <-failed:
		if ctx.Err() != nil {
			err = fmt.Errorf("the other side has not connected: %w", context.Cause(ctx))
		}
		return nil, fmt.Errorf("plugin: broker: accepting id %d: %w", id, err)
	}
}

// appListener is a listener of an application, which does not know of proofs.
type appListener struct{ *listener }

// Accept accepts a connection, whose TLS handshake, if there is to be one, takes place
// when it is used, and is its proof.
func (l *appListener) Accept() (net.Conn, error) {
	c, err := l.accept()
	if err != nil {
		return nil, err
	}
	if l.broker.cfg.ServerTLS == nil {
		c.Established()
		return c, nil
	}
	return tls.Server(c, automtls.Then(l.broker.cfg.ServerTLS, c.Established)), nil
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
func (b *Broker) secureAccepted(ctx context.Context, raw *conn) (net.Conn, error) {
	if b.cfg.ServerTLS == nil {
		raw.Established()
		return raw, nil
	}
	// A ticket is what a server of TLS 1.3 writes last, when a client may have sent all
	// that it had to say, and gone: its connection would be taken for none.
	cfg := asGRPC(b.cfg.ServerTLS).Clone()
	cfg.SessionTicketsDisabled = true
	conn, err := b.shake(ctx, tls.Server(raw, cfg))
	if err == nil {
		raw.Established()
	}
	return conn, err
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
