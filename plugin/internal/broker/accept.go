package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/connlimit"
)

// listener is a listener that is closed with its broker, and whose connections are
// counted.
type listener struct {
	net.Listener
	broker *Broker
	closed chan struct{} // closed by Close
	once   sync.Once
}

// Accept accepts a connection, once the broker may have another one. The caller calls
// Established when the connection has proved to be the peer's.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.accept()
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (l *listener) accept() (*conn, error) {
	b := l.broker
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if b.conns.Full() {
		b.cfg.Logger.Warn("there are as many brokered connections as MaxBrokered allows; further ones wait", "limit", b.cfg.MaxOpen)
		if !b.conns.Wait(l.closed) {
			raw.Close()
			return nil, net.ErrClosed
		}
	}
	place, madeRoom := b.conns.Add(func() { raw.Close() })
	if madeRoom {
		b.cfg.Logger.Warn("a brokered connection was closed during its TLS handshake for a newer one: all servers together may have twice MaxHandshakes", "limit", crowdedServers*b.cfg.Server.MaxHandshakes)
	}
	return &conn{raw, place}, nil
}

// Close closes the listener and everything that belongs to it, such as a socket's file.
func (l *listener) Close() error {
	// The broker forgets the listener only after that, because the broker's Close must
	// not return before the socket is gone.
	err := l.Listener.Close()
	l.once.Do(func() {
		close(l.closed)
		l.broker.mu.Lock()
		delete(l.broker.listeners, l)
		l.broker.listening--
		l.broker.mu.Unlock()
	})
	return err
}

// conn is a connection that is counted until it is closed.
type conn struct {
	net.Conn
	place *connlimit.Place
}

func (c *conn) Close() error {
	err := c.Conn.Close()
	c.place.Leave()
	return err
}

var _ h2grpc.EstablishedConn = (*conn)(nil)
var _ h2grpc.SocketConn = (*conn)(nil)

// Established marks the connection as proved, so that it is not closed for a newer one.
func (c *conn) Established() { c.place.Prove() }

func (c *conn) Socket() net.Conn { return c.Conn }

func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// listen opens a listener for id, without TLS, and announces it. once is set if it is for
// one connection only; with sockets the caller must enforce that.
func (b *Broker) listen(ctx context.Context, id uint32, once bool) (*listener, error) {
	b.mu.Lock()
	switch {
	case b.closed:
		b.mu.Unlock()
		return nil, fmt.Errorf("plugin: broker: accepting id %d: %w", id, ErrClosed)
	case b.cfg.MaxOpen >= 0 && b.listening >= b.cfg.MaxOpen:
		b.mu.Unlock()
		return nil, fmt.Errorf("plugin: broker: accepting id %d: %d ids are being accepted, as many as MaxBrokered (of host.Config or plugin.ServeConfig) allows", id, b.cfg.MaxOpen)
	}
	b.listening++
	b.background.Add(1) // Close waits until a new socket is registered, or gone
	b.mu.Unlock()
	defer b.background.Done()
	raw, err := b.via.open(id, once)
	if err != nil {
		b.mu.Lock()
		b.listening--
		b.mu.Unlock()
		return nil, fmt.Errorf("plugin: broker: accepting id %d: %w", id, err)
	}
	l := &listener{Listener: raw, broker: b, closed: make(chan struct{})}
	b.mu.Lock()
	closed := b.closed
	if !closed {
		b.listeners[l] = struct{}{}
	}
	b.mu.Unlock()
	if closed {
		l.Close()
		return nil, fmt.Errorf("plugin: broker: accepting id %d: %w", id, ErrClosed)
	}
	if err := b.via.announce(ctx, id, raw.Addr()); err != nil {
		l.Close()
		return nil, fmt.Errorf("plugin: broker: accepting id %d: %w", id, err)
	}
	return l, nil
}

// Accept opens and announces a listener for id, whose connections are secured with
// ServerTLS. See plugin.Broker.
//
// go-plugin's broker returns a plaintext listener here, although its dialling side uses
// TLS. A secured one needs no care by the caller.
func (b *Broker) Accept(ctx context.Context, id uint32) (net.Listener, error) {
	l, err := b.listen(ctx, id, false)
	if err != nil {
		return nil, err
	}
	return b.shaken(b.serving, id, l, false), nil
}

// AcceptAndServe serves gRPC under id until ctx or the broker ends. See plugin.Broker.
func (b *Broker) AcceptAndServe(ctx context.Context, id uint32, register func(*h2grpc.Server) error) error {
	s, err := b.newServer(id, register)
	if err != nil {
		return err
	}
	l, err := b.listen(ctx, id, false)
	if err != nil {
		return err
	}
	return b.serve(ctx, id, l, s)
}

// Serve is AcceptAndServe under a new id, in the background.
func (b *Broker) Serve(ctx context.Context, register func(*h2grpc.Server) error) (id uint32, err error) {
	id = b.NextID()
	s, err := b.newServer(id, register)
	if err != nil {
		return 0, err
	}
	l, err := b.listen(ctx, id, false)
	if err != nil {
		return 0, err
	}
	b.mu.Lock()
	closed := b.closed
	if !closed {
		b.background.Add(1) // not after Close has begun to wait
	}
	b.mu.Unlock()
	if closed {
		l.Close()
		return 0, fmt.Errorf("plugin: broker: accepting id %d: %w", id, ErrClosed)
	}
	go func() {
		defer b.background.Done()
		if err := b.serve(ctx, id, l, s); err != nil {
			b.cfg.Logger.Error("a brokered server failed", "id", id, "err", err)
		}
	}()
	return id, nil
}

func (b *Broker) newServer(id uint32, register func(*h2grpc.Server) error) (*h2grpc.Server, error) {
	cfg := b.cfg.Server
	cfg.TLS = b.cfg.ServerTLS
	s := h2grpc.NewServer(&cfg)
	err := register(s)
	if err == nil {
		err = s.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("plugin: broker: registering the services of id %d: %w", id, err)
	}
	return s, nil
}

// serve serves l until ctx or the broker ends, and closes it.
func (b *Broker) serve(ctx context.Context, id uint32, l *listener, s *h2grpc.Server) error {
	defer l.Close()
	b.mu.Lock()
	b.servers[s] = struct{}{}
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.servers, s)
		b.mu.Unlock()
	}()
	defer s.Close()
	defer context.AfterFunc(ctx, func() { s.Close() })()
	defer context.AfterFunc(b.serving, func() { s.Close() })()
	if err := s.Serve(l); err != nil && !errors.Is(err, h2grpc.ErrServerClosed) && b.serving.Err() == nil {
		return fmt.Errorf("plugin: broker: serving id %d: %w", id, err)
	}
	return nil
}
