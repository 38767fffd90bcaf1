package contender

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
)

// The raw contender is the limit: a length and so many bytes go to and fro on a
// socket, or on TLS over one. There are no methods, no messages and no streams,
// each side has one goroutine, and buffers are used again.

// rawPrefix is the size of the length before the bytes.
const rawPrefix = 4

func serveRaw(l net.Listener, config *tls.Config) (func(), error) {
	if config != nil {
		l = tls.NewListener(l, config)
	}
	var mu sync.Mutex
	conns := make(map[net.Conn]bool)
	stopped := false
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[c] = true
			if stopped {
				c.Close()
			}
			mu.Unlock()
			running.Go(func() {
				rawEcho(c) // until the client is gone
				c.Close()
				mu.Lock()
				delete(conns, c)
				mu.Unlock()
			})
		}
	})
	return func() {
		l.Close()
		mu.Lock()
		stopped = true
		for c := range conns {
			c.Close()
		}
		mu.Unlock()
		running.Wait()
	}, nil
}

func rawEcho(c net.Conn) error {
	r := newRawReader(c)
	for {
		b, err := r.next()
		if err != nil {
			return err
		}
		if _, err := c.Write(b); err != nil {
			return err
		}
	}
}

// rawReader reads what the other side writes in one go.
type rawReader struct {
	r   *bufio.Reader
	buf []byte
}

func newRawReader(c net.Conn) *rawReader {
	const size = 64 << 10 // one read for every small message
	return &rawReader{r: bufio.NewReaderSize(c, size)}
}

// next returns the next message with its prefix. It is valid until the call
// after.
func (r *rawReader) next() ([]byte, error) {
	prefix, err := r.r.Peek(rawPrefix)
	if err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(prefix)
	if n > maxMessage {
		return nil, fmt.Errorf("a message of %d bytes", n)
	}
	if total := int(n) + rawPrefix; cap(r.buf) < total {
		r.buf = make([]byte, total)
	}
	b := r.buf[:rawPrefix+n]
	_, err = io.ReadFull(r.r, b)
	return b, err
}

type rawConn struct {
	mu sync.Mutex
	// guarded by mu
	c   net.Conn
	r   *rawReader
	buf []byte
}

func dialRaw(dial Dialer, config *tls.Config) (Conn, error) {
	c, err := dialSecure(context.Background(), dial, config)
	if err != nil {
		return nil, err
	}
	return &rawConn{c: c, r: newRawReader(c)}, nil
}

func (c *rawConn) Echo(_ context.Context, in *Message) (*Message, error) {
	if in.WaitUs > 0 || in.ComputeUs > 0 {
		return nil, ErrUnfit
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.buf = binary.BigEndian.AppendUint32(c.buf[:0], uint32(len(in.Data)))
	c.buf = append(c.buf, in.Data...)
	if _, err := c.c.Write(c.buf); err != nil {
		return nil, err
	}
	b, err := c.r.next()
	if err != nil {
		return nil, err
	}
	return &Message{Data: b[rawPrefix:]}, nil
}

func (*rawConn) Inspect(context.Context, []string, *Message) (*Message, error) {
	return nil, ErrUnfit
}

func (*rawConn) Open(context.Context, Method) (Stream, error) { return nil, ErrUnfit }

func (c *rawConn) Close() error { return c.c.Close() }
