package negative

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"

	pb "github.com/tenonrpc/tenon/plugin/interop/conformance/interoppb"
)

const (
	maxFrame     = 16 << 10 // the largest frame that every peer takes
	firstWindow  = 65535    // RFC 9113 §6.9.2
	responseSize = 314159   // what the test cases ask for
)

// conn is one connection. Its one goroutine, which runs serve, owns it.
type conn struct {
	s        *Server
	nc       net.Conn
	fr       *http2.Framer
	enc      *hpack.Encoder
	block    bytes.Buffer // what enc writes to
	window   int          // of the connection, for sending
	first    int          // the window that streams begin with
	streams  map[uint32]*stream
	order    []uint32 // open streams, oldest first
	last     uint32   // highest stream id seen
	final    uint32   // the last id of our GOAWAY; 0: none was sent
	pings    uint64   // PINGs sent
	acks     uint64   // and answered
	answered int      // calls answered
}

// stream is one call.
type stream struct {
	id      uint32
	window  int
	begun   bool   // the headers have been sent
	body    []byte // what is left of the response
	replies bool   // the request is complete
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{s: s, nc: nc, fr: http2.NewFramer(nc, nc), window: firstWindow, first: firstWindow, streams: map[uint32]*stream{}}
	c.enc = hpack.NewEncoder(&c.block)
	c.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	return c
}

// errGone says that the connection ended, which is nobody's fault.
var errGone = errors.New("the connection has ended")

// serve reads the connection until it ends. Its error is what the client did
// wrong.
func (c *conn) serve() error {
	err := c.run()
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

func (c *conn) run() error {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c.nc, preface); err != nil {
		return errGone
	}
	if string(preface) != http2.ClientPreface {
		return fmt.Errorf("the preface is %q", preface)
	}
	var set []http2.Setting
	if c.s.test == "max_streams" {
		set = append(set, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1})
	}
	if err := c.sent(c.fr.WriteSettings(set...)); err != nil {
		return err
	}
	for {
		f, err := c.fr.ReadFrame()
		var se http2.StreamError
		if errors.As(err, &se) {
			return fmt.Errorf("a broken frame: %w", err)
		} else if err != nil {
			return errGone
		}
		if err := c.frame(f); err != nil {
			return err
		}
		if err := c.send(); err != nil {
			return err
		}
	}
}

// sent turns a failed write into errGone.
func (c *conn) sent(err error) error {
	if err != nil {
		return errGone
	}
	return nil
}

// frame handles a frame.
func (c *conn) frame(f http2.Frame) error {
	id := f.Header().StreamID
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if f.IsAck() {
			return nil
		}
		if v, ok := f.Value(http2.SettingInitialWindowSize); ok {
			for _, s := range c.streams {
				s.window += int(v) - c.first
			}
			c.first = int(v)
		}
		return c.sent(c.fr.WriteSettingsAck())
	case *http2.PingFrame:
		if !f.IsAck() {
			return c.sent(c.fr.WritePing(true, f.Data))
		}
		if c.acks++; binary.BigEndian.Uint64(f.Data[:]) != c.acks {
			return fmt.Errorf("answer %d to a PING has the data %x", c.acks, f.Data)
		}
	case *http2.WindowUpdateFrame:
		if id == 0 {
			c.window += int(f.Increment)
		} else if s := c.streams[id]; s != nil {
			s.window += int(f.Increment)
		}
	case *http2.RSTStreamFrame:
		c.drop(id)
	case *http2.MetaHeadersFrame:
		if err := c.open(id); err != nil {
			return err
		}
		if f.StreamEnded() {
			return fmt.Errorf("a call without a request")
		}
	case *http2.DataFrame:
		if n := f.Length; n > 0 {
			if err := c.sent(c.fr.WriteWindowUpdate(0, n)); err != nil {
				return err
			}
			if c.streams[id] != nil && !f.StreamEnded() {
				if err := c.sent(c.fr.WriteWindowUpdate(id, n)); err != nil {
					return err
				}
			}
		}
		if s := c.streams[id]; s != nil && f.StreamEnded() {
			s.replies = true
		}
	}
	return nil
}

// open takes a new stream.
func (c *conn) open(id uint32) error {
	switch {
	case id%2 == 0 || id <= c.last:
		return fmt.Errorf("stream %d was opened after stream %d", id, c.last)
	case c.final != 0:
		// It may have been sent before the client knew. Nobody answers it: the
		// client has to make the call elsewhere.
		c.last = id
		return nil
	case c.s.test == "max_streams" && len(c.streams) > 0:
		return fmt.Errorf("stream %d was opened beside %d others, where one is allowed", id, len(c.streams))
	}
	body, err := response()
	if err != nil {
		return err
	}
	c.last = id
	c.streams[id] = &stream{id: id, window: c.first, body: body}
	c.order = append(c.order, id)
	return nil
}

// drop forgets a stream.
func (c *conn) drop(id uint32) {
	delete(c.streams, id)
	for i, other := range c.order {
		if other == id {
			c.order = append(c.order[:i], c.order[i+1:]...)
			break
		}
	}
}

// response is the message that answers every call, with gRPC's prefix.
func response() ([]byte, error) {
	m := &pb.SimpleResponse{Payload: &pb.Payload{Body: make([]byte, responseSize)}}
	b, err := proto.MarshalOptions{}.MarshalAppend(make([]byte, 5), m)
	if err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint32(b[1:], uint32(len(b)-5))
	return b, nil
}
