package negative

import (
	"encoding/binary"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// send sends what can be sent.
func (c *conn) send() error {
	for _, id := range append([]uint32(nil), c.order...) {
		s := c.streams[id]
		if s == nil || !s.replies {
			continue
		}
		if err := c.reply(s); err != nil {
			return err
		}
	}
	return nil
}

// reply goes on with the answer to one call.
func (c *conn) reply(s *stream) error {
	test := c.s.test
	if !s.begun {
		s.begun = true
		if err := c.headers(s.id, false, ":status", "200", "content-type", "application/grpc"); err != nil {
			return err
		}
		if test == "rst_after_header" {
			return c.reset(s)
		}
	}
	for len(s.body) > 0 {
		n := min(len(s.body), s.window, c.window, maxFrame)
		if n <= 0 {
			return nil // until the client grants more
		}
		if err := c.ping(); err != nil {
			return err
		}
		if err := c.sent(c.fr.WriteData(s.id, false, s.body[:n])); err != nil {
			return err
		}
		s.body = s.body[n:]
		s.window -= n
		c.window -= n
		if test == "rst_during_data" {
			return c.reset(s)
		}
	}
	if test == "rst_after_data" {
		return c.reset(s)
	}
	if test == "ping" && c.acks < c.pings {
		return nil // the call ends when every PING has been answered
	}
	if err := c.headers(s.id, true, "grpc-status", "0"); err != nil {
		return err
	}
	c.answered++
	c.drop(s.id)
	if test == "goaway" {
		c.final = s.id
		return c.sent(c.fr.WriteGoAway(c.final, http2.ErrCodeNo, nil))
	}
	return nil
}

// reset breaks a call off.
func (c *conn) reset(s *stream) error {
	c.answered++
	c.drop(s.id)
	return c.sent(c.fr.WriteRSTStream(s.id, http2.ErrCodeNo))
}

// headers sends a header block of alternating names and values.
func (c *conn) headers(id uint32, end bool, fields ...string) error {
	if !end {
		if err := c.ping(); err != nil {
			return err
		}
	}
	c.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		if err := c.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			return err
		}
	}
	return c.sent(c.fr.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: c.block.Bytes(), EndStream: end, EndHeaders: true,
	}))
}

// ping sends a PING in front of a frame, if that is what is tested.
func (c *conn) ping() error {
	if c.s.test != "ping" {
		return nil
	}
	c.pings++
	var data [8]byte
	binary.BigEndian.PutUint64(data[:], c.pings)
	return c.sent(c.fr.WritePing(false, data))
}
