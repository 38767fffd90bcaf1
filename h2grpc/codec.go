package h2grpc

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/internal/h2"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/wire"
)

// Message is a message that codes itself: one written by hand, one of a
// generator such as vtprotobuf, or raw bytes that are passed on. It is tried
// before proto.Message.
type Message interface {
	// AppendTo appends the message's encoding to b. It must not keep b. If the
	// message also has a method Size() int, it is asked for the encoding's length
	// first, so that b has room for it.
	AppendTo(b []byte) ([]byte, error)
	// UnmarshalFrom replaces the message by the one encoded in b. It must not
	// keep b, which is used for other messages afterwards, nor wait for other
	// messages of the connection, whose turn may come after its own.
	UnmarshalFrom(b []byte) error
}

// Compressor compresses messages for connections that are given one. All its
// methods may be called concurrently.
type Compressor interface {
	// Name is the content coding's name, such as "gzip".
	Name() string
	// Compress appends the compressed src to dst.
	Compress(dst, src []byte) ([]byte, error)
	// Decompress appends the decompressed src to dst. As soon as that would
	// add more than limit bytes it stops with ErrTooLarge.
	Decompress(dst, src []byte, limit int) ([]byte, error)
}

// ErrTooLarge is what a [Compressor] returns for a message that is larger than
// the limit once decompressed.
var ErrTooLarge = errors.New("message is too large once decompressed")

// limit is how large messages may be, and the field that says so.
type limit struct {
	bytes int
	field string
}

// outgoing is a message to be encoded, as one of its kinds.
type outgoing struct {
	self  Message
	proto proto.Message
	size  int // of the encoding; -1: not known before
}

// measure looks how large m is. A Message that says that it is larger than most says
// nothing: it may be wrong.
func measure(m any, most int) (o outgoing, err error) {
	o.size = -1
	switch m := m.(type) {
	case Message:
		o.self = m
		if m, ok := m.(interface{ Size() int }); ok {
			if n := m.Size(); n <= most {
				o.size = max(n, 0)
			}
		}
	case proto.Message:
		o.proto, o.size = m, proto.Size(m)
	default:
		err = status.Errorf(codes.Internal, "%T is neither a proto.Message nor an h2grpc.Message", m)
	}
	return o, err
}

// encodeFor is encode for a message that a peer may leave to us: it waits until it
// may be encoded for s, at most until ctx ends, and calls waits, unless it is nil,
// before that. If it cannot be encoded any more, the error is h2.ErrStreamEnded.
func encodeFor(ctx context.Context, s *h2.Stream, m any, most limit, c Compressor, waits func() error) (buf *h2.Buffer, plain int, err error) {
	o, err := measure(m, most.bytes)
	n := wire.PrefixLen + o.size
	switch {
	case err != nil || o.size > most.bytes || o.size >= 0 && !h2.Counted(n):
		return o.encode(err, most, c)
	case o.size < 0:
		if buf, plain, n, err = o.encodeNow(s, most, c); buf != nil || err != nil {
			return buf, plain, err
		}
	}
	claim, ok := s.TryReserve(n)
	if !ok && waits != nil {
		err = waits()
	}
	if !ok && err == nil {
		claim, err = s.Reserve(ctx.Done(), n)
	}
	if err != nil {
		return nil, 0, err
	}
	defer func() { // also if the message's own code panics
		if buf == nil {
			claim.Drop()
		}
	}()
	buf, plain, err = o.encode(nil, most, c)
	if err == nil {
		buf.Charge(claim)
	}
	return buf, plain, err
}

// encodeNow is encodeFor for a message whose size only its encoding says. If it has to
// wait, it is dropped and will be encoded again, so that it takes no room meanwhile:
// encodeNow returns its n bytes with the prefix and no buffer.
func (o *outgoing) encodeNow(s *h2.Stream, most limit, c Compressor) (buf *h2.Buffer, plain, n int, err error) {
	turn := s.Conn().UnsizedTurn()
	defer turn.End()
	if buf, plain, err = o.encode(nil, most, c); err != nil {
		return nil, 0, 0, err
	}
	turn.Encoded(len(buf.B))
	claim, ok := s.TryReserve(len(buf.B))
	if !ok {
		n = len(buf.B)
		buf.Release()
		return nil, 0, n, nil
	}
	buf.Charge(claim)
	return buf, plain, 0, nil
}

// encode returns m with gRPC's prefix, and its size before compression. The
// caller releases the buffer.
func encode(m any, most limit, c Compressor) (buf *h2.Buffer, plain int, err error) {
	o, err := measure(m, most.bytes)
	return o.encode(err, most, c)
}

// encode is encode for a message that measure has returned with err.
func (o *outgoing) encode(err error, most limit, c Compressor) (buf *h2.Buffer, plain int, _ error) {
	if err != nil {
		return nil, 0, err
	}
	if o.size > most.bytes {
		return nil, 0, most.exceeded(o.size)
	}
	buf, err = o.marshal()
	if err != nil {
		return nil, 0, err
	}
	n := len(buf.B) - wire.PrefixLen
	if n > most.bytes {
		buf.Release()
		return nil, 0, most.exceeded(n)
	}
	if c == nil || n == 0 {
		wire.PutPrefix(buf.B, false, uint32(n))
		return buf, n, nil
	}
	small := h2.GetBuffer(wire.PrefixLen)
	small.B, err = c.Compress(small.B, buf.B[wire.PrefixLen:])
	buf.Release()
	if err == nil && uint64(len(small.B)-wire.PrefixLen) > math.MaxUint32 {
		err = errors.New("the compressed message is too large")
	}
	if err != nil {
		small.Release()
		return nil, 0, status.Errorf(codes.Internal, "compressing a message with %s: %v", c.Name(), err)
	}
	wire.PutPrefix(small.B, true, uint32(len(small.B)-wire.PrefixLen))
	return small, n, nil
}

// exceeded is the error for a message of n bytes that was to be sent.
func (l limit) exceeded(n int) error {
	return status.Errorf(codes.ResourceExhausted, "message of %d bytes is larger than the limit of %d for sending (%s)", n, l.bytes, l.field)
}

// marshal returns the encoding after room for the prefix.
func (o *outgoing) marshal() (*h2.Buffer, error) {
	buf := h2.GetBuffer(wire.PrefixLen + max(o.size, 0))
	var b []byte
	var err error
	var m any = o.proto
	if o.self != nil {
		m = o.self
		b, err = o.self.AppendTo(buf.B[:wire.PrefixLen])
	} else {
		b, err = proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(buf.B[:wire.PrefixLen], o.proto)
	}
	if err != nil {
		buf.Release()
		return nil, status.Errorf(codes.Internal, "encoding %T: %v", m, err)
	}
	buf.B = b
	return buf, nil
}

// decode stores the message in buf, which it releases, in m, and returns its
// size after decompression, of which most is the limit. c is the stream's
// compressor, nil for none, and turns those of its connection, which ctx may end the
// wait for.
func decode(ctx context.Context, buf *h2.Buffer, m any, most limit, c Compressor, turns turns) (plain int, err error) {
	defer buf.Release()
	b := buf.B
	if buf.Compressed {
		if c == nil {
			return 0, status.Error(codes.Internal, "received a compressed message on a stream that announced no compression")
		}
		end, err := turns.wait(ctx, len(b))
		if err != nil {
			return 0, status.FromContextError(err).Err()
		}
		defer end()
		out := getRoom()
		defer out.release()
		*out, err = c.Decompress(*out, b, most.bytes)
		switch {
		case err == nil:
		case errors.Is(err, ErrTooLarge):
			return 0, status.Errorf(codes.ResourceExhausted, "received message is larger than the limit of %d bytes once decompressed (%s)", most.bytes, most.field)
		default:
			return 0, status.Errorf(codes.Internal, "decompressing a message with %s: %v", c.Name(), err)
		}
		b = *out
	}
	switch m := m.(type) {
	case Message:
		err = m.UnmarshalFrom(b)
	case proto.Message:
		err = proto.Unmarshal(b, m)
	default:
		err = errors.New("it is neither a proto.Message nor an h2grpc.Message")
	}
	if err != nil {
		return 0, status.Errorf(codes.Internal, "decoding %T: %v", m, err)
	}
	return len(b), nil
}

// room is what a message is decompressed into. Rooms are used again whatever their
// size: a peer's messages of the same few bytes should not leave behind as much
// memory as they grow to.
type room []byte

var rooms sync.Pool // of *room

func getRoom() *room {
	if r, ok := rooms.Get().(*room); ok {
		return r
	}
	return new(room)
}

func (r *room) release() {
	if cap(*r) <= maxRoom {
		*r = (*r)[:0]
		rooms.Put(r)
	}
}

// turns is how many messages of a connection may be decompressed and decoded at
// once. A small one may keep a processor busy for as long as its limit allows, and
// the other connections need some, too. It may also take as much memory as that.
type turns chan struct{}

// newTurns returns nil, which is enough, if there is nothing to decompress with.
func newTurns(compressors []Compressor) turns {
	if len(compressors) == 0 {
		return nil
	}
	return make(turns, max(1, runtime.GOMAXPROCS(0)/2))
}

// wait waits for the turn of a compressed message of n bytes, or until ctx ends,
// whose error it returns. The caller calls end when the message is decoded.
func (t turns) wait(ctx context.Context, n int) (end func(), err error) {
	if n < turnsLeast {
		return func() {}, nil
	}
	select {
	case t <- struct{}{}:
	default:
		select {
		case t <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return func() { <-t }, nil
}

// findCompressor returns the compressor called name. "" and "identity" are no
// compression.
func findCompressor(list []Compressor, name string) (Compressor, error) {
	if name == "" || name == "identity" {
		return nil, nil
	}
	for _, c := range list {
		if c.Name() == name {
			return c, nil
		}
	}
	return nil, fmt.Errorf("no compressor called %.64q", name)
}

// encodings is the value of grpc-accept-encoding.
func encodings(list []Compressor) string {
	s := "identity"
	for _, c := range list {
		s += "," + c.Name()
	}
	return s
}

// unlimited is the limit of messages if there is none. Where an int has 32 bits, there
// is no memory for one of 2 GiB, let alone for what becomes of it.
func unlimited() int {
	if math.MaxInt == math.MaxInt32 {
		return DefaultMaxRequestSize
	}
	return h2.MaxMessage
}

// limitOr returns a message limit: n, or fallback if n is zero, or none if n is
// negative.
func limitOr(n, fallback int) int {
	switch {
	case n < 0:
		return unlimited()
	case n == 0:
		return fallback
	}
	return min(n, h2.MaxMessage)
}

// inflated is the limit of messages once decompressed where recv is the limit that
// was set, zero for none, and field its name.
func inflated(recv int, field string) limit {
	if recv == 0 {
		field += "; the default is smaller for compressed messages than for others"
	}
	return limit{limitOr(recv, DefaultMaxDecompressedSize), field}
}
