package h2

import (
	"errors"
	"io"
	"os"
	"time"
)

// Everything that is read from the connection is read here.

// readFrameHeader reads the header of a frame.
func (c *Conn) readFrameHeader() (FrameHeader, error) {
	fh, err := c.peekFrameHeader()
	if err == nil {
		c.in.br.Discard(frameHeaderLen)
	}
	return fh, err
}

// peekFrameHeader returns the next frame's header and leaves it to be read.
func (c *Conn) peekFrameHeader() (FrameHeader, error) {
	b, err := c.in.br.Peek(frameHeaderLen)
	if err != nil {
		if err == io.EOF && len(b) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return FrameHeader{}, err
	}
	fh := parseFrameHeader(b)
	if fh.Length > c.in.maxFrame {
		return FrameHeader{}, fault(ErrCodeFrameSize, "%v frame of %d bytes is larger than this side's SETTINGS_MAX_FRAME_SIZE of %d", fh.Type, fh.Length, c.in.maxFrame)
	}
	return fh, nil
}

// payload reads n bytes of a frame, at most readBuffer. They are valid until the
// next read.
func (c *Conn) payload(n int) ([]byte, error) {
	b, err := c.in.br.Peek(n)
	if err != nil {
		return nil, cutShort(err)
	}
	c.in.br.Discard(n)
	return b, nil
}

func (c *Conn) discard(n int) error {
	_, err := c.in.br.Discard(n)
	return err
}

// cutShort returns the error of a read in the middle of a frame.
func cutShort(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// setReadDeadline sets or removes a time limit on reading, unless the end of the
// connection uses one.
func (c *Conn) setReadDeadline(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.phase < closing {
		c.nc.SetReadDeadline(t)
	}
}

// timedOut reports whether err is that of a time limit on reading which this side
// set.
func (c *Conn) timedOut(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.life.phase < closing
}
