package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tenonrpc/tenon/plugin/bench/contender"
)

// client makes the calls. It is used by one goroutine.
type client struct {
	connect func() (contender.Conn, error)
	main    contender.Conn
	more    []*idleConn
	parked  []*parked // on main
}

// An idleConn is a connection that does nothing.
type idleConn struct{ contender.Conn }

// A parked stream is open, has carried a message each way, and is idle.
type parked struct {
	contender.Stream
	cancel context.CancelFunc
}

// stepTime bounds everything but runs: opening and closing.
const stepTime = time.Minute

func (c *client) begin() (err error) {
	c.main, err = c.connect()
	if err != nil {
		return err
	}
	return try(c.main)
}

// try makes a call, so that the connection is up.
func try(conn contender.Conn) error {
	ctx, cancel := context.WithTimeout(context.Background(), stepTime)
	defer cancel()
	_, err := conn.Echo(ctx, &contender.Message{})
	return err
}

func (c *client) end() {
	c.hold(0, 0)
	c.main.Close()
}

// hold sees to it that there are so many parked streams and idle connections.
func (c *client) hold(streams, conns int) error {
	for len(c.parked) > streams {
		last := len(c.parked) - 1
		if err := c.parked[last].end(); err != nil {
			return err
		}
		c.parked = c.parked[:last]
	}
	for len(c.parked) < streams {
		p, err := park(c.main)
		if err != nil {
			return fmt.Errorf("parking stream %d: %w", len(c.parked), err)
		}
		c.parked = append(c.parked, p)
	}
	for len(c.more) > conns {
		last := len(c.more) - 1
		c.more[last].Close()
		c.more = c.more[:last]
	}
	for len(c.more) < conns {
		conn, err := c.connect()
		if err != nil {
			return err
		}
		c.more = append(c.more, &idleConn{conn})
		if err := try(conn); err != nil {
			return fmt.Errorf("connection %d: %w", len(c.more), err)
		}
	}
	return nil
}

func park(conn contender.Conn) (*parked, error) {
	ctx, cancel := context.WithCancel(context.Background())
	s, err := conn.Open(ctx, contender.Chat)
	if err != nil {
		cancel()
		return nil, err
	}
	p := &parked{s, cancel}
	timeout := time.AfterFunc(stepTime, cancel)
	defer timeout.Stop()
	if err := s.Send(&contender.Message{}); err != nil {
		cancel()
		return nil, err
	}
	if _, err := s.Recv(); err != nil {
		cancel()
		return nil, err
	}
	return p, nil
}

func (p *parked) end() error {
	defer p.cancel()
	timeout := time.AfterFunc(stepTime, p.cancel)
	defer timeout.Stop()
	if err := p.CloseSend(); err != nil {
		return err
	}
	if _, err := p.Recv(); err != io.EOF {
		return fmt.Errorf("a parked stream did not end: %w", err)
	}
	return nil
}

// once makes one call and returns how much memory that took at its height: the
// request was there before it.
func (c *client) once(size int) (*Usage, error) {
	ctx, cancel := context.WithTimeout(context.Background(), stepTime)
	defer cancel()
	in := &contender.Message{Data: bytes.Repeat([]byte{1}, size)}
	before, err := usage(true)
	if err != nil {
		return nil, err
	}
	out, err := c.main.Echo(ctx, in)
	if err != nil {
		return nil, err
	}
	after, err := usage(false)
	if err != nil {
		return nil, err
	}
	// Both are still the application's.
	if !bytes.Equal(in.Data, out.Data) {
		return nil, errors.New("the answer is not the request")
	}
	after.Resident = before.Resident
	return after, nil
}
