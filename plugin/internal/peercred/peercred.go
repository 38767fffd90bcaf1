// Package peercred checks which process is at the other end of a unix socket, by the
// credentials that the kernel reports. Only Linux reports them; elsewhere nothing is
// refused.
package peercred

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
)

// ErrStranger reports that the process at the other end is not allowed.
var ErrStranger = errors.New("an unexpected process is at the other end of the socket")

// Cred identifies the process at the other end, which has connected or listens.
type Cred struct {
	UID int
	PID int // 0 if the process cannot be seen from this one's PID namespace
}

// Of returns the credentials of the process at the other end of conn. known is false if
// conn is not a unix socket, or the system does not report them.
func Of(conn net.Conn) (c Cred, known bool, err error) {
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return Cred{}, false, nil
	}
	return of(unix)
}

// Alive reports whether the process at the other end of conn has certainly not ended, so
// that no other process can have its number. Only Linux from 6.5 on reports that.
func Alive(conn net.Conn) bool {
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return false
	}
	alive, _ := lives(unix)
	return alive
}

// Policy is who may be at the other end. Nil allows everyone. It must not be changed once
// it is used.
type Policy struct {
	UIDs []int
	// MoreUID returns one more user who is allowed. It is called when a user is not in
	// UIDs, possibly by several goroutines at once. It may be nil.
	MoreUID func() (uid int, ok bool)
	// PID reports whether the process is allowed. Nil allows all. A process that cannot
	// be seen has no number here and is always allowed. A process that has ended is
	// never allowed, because another may have its number by now.
	PID func(pid int) bool
}

// Check returns an error that wraps ErrStranger if conn is a unix socket whose other end
// is not allowed.
func (p *Policy) Check(conn net.Conn) error {
	unix, ok := conn.(*net.UnixConn)
	if !ok || p == nil {
		return nil
	}
	c, known, err := of(unix)
	switch {
	case err != nil:
		return fmt.Errorf("%w: the system does not identify it: %w", ErrStranger, err)
	case !known:
		return nil
	case !slices.Contains(p.UIDs, c.UID) && !p.more(c.UID):
		return fmt.Errorf("%w: it runs as user %d (pid %d); allowed: %d", ErrStranger, c.UID, c.PID, p.UIDs)
	case p.PID == nil || c.PID == 0:
		return nil
	}
	if _, ended := lives(unix); ended || !p.PID(c.PID) {
		return fmt.Errorf("%w: process %d", ErrStranger, c.PID)
	}
	return nil
}

func (p *Policy) more(uid int) bool {
	if p.MoreUID == nil {
		return false
	}
	more, ok := p.MoreUID()
	return ok && more == uid
}

// Dialer returns dial with a check of the connection before anything is written to it.
func (p *Policy) Dialer(dial func(ctx context.Context, network, address string) (net.Conn, error)) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if err := p.Check(conn); err != nil {
			conn.Close()
			return nil, err
		}
		return conn, nil
	}
}

// Listener returns l without the connections that are not allowed. They are closed before
// a byte is read from them, and refused is called with the reason.
func (p *Policy) Listener(l net.Listener, refused func(error)) net.Listener {
	if p == nil {
		return l
	}
	return &listener{Listener: l, policy: p, refused: refused}
}

type listener struct {
	net.Listener
	policy  *Policy
	refused func(error)
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if err := l.policy.Check(conn); err != nil {
			conn.Close()
			l.refused(err)
			continue
		}
		return conn, nil
	}
}
