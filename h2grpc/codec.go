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

// Message is a message that encodes and decodes itself: one written by hand, one of a
// generator such as vtprotobuf, or raw bytes that are passed on. A value that is also
// a proto.Message is treated as a Message.
type Message interface {
	// AppendTo appends the encoding of the message to b. It must not keep b. If the
	// message also has a method Size() int, that is called first, for the length of the
	// encoding, so that b has room for it.
	AppendTo(b []byte) ([]byte, error)
	// UnmarshalFrom replaces the message by the one encoded in b. It must not keep b,
	// which is reused for other messages, nor wait for other messages of the connection,
	// which may be read only after it returns.
	UnmarshalFrom(b []byte) error
}

// Compressor compresses and decompresses messages. Its methods may be called
// concurrently.
type Compressor interface {
	// Name returns the name of the content coding, such as "gzip".
	Name() string
	// Compress appends the compressed src to dst.
	Compress(dst, src []byte) ([]byte, error)
	// Decompress appends the decompressed src to dst. It stops with ErrTooLarge as soon
	// as it would append more than limit bytes.
	Decompress(dst, src []byte, limit int) ([]byte, error)
}

// ErrTooLarge is the error of a [Compressor] for a message that is larger than the
// limit once decompressed.
var ErrTooLarge = errors.New("message is too large once decompressed")

// limit is a limit of message sizes, and the name of the field that sets it.
type limit struct {
	bytes int
	field string
}

// outgoing is a message to be encoded: either self or proto is set.
type outgoing struct {
	self  Message
	proto proto.Message
	size  int // of the encoding; -1: unknown until it is encoded
}

// measure finds the size of m. A Message's Size that is larger than most is ignored:
// it may be wrong.
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

// encodeFor is encode for a message that the peer may leave unread: it waits until
// the message may be encoded for s, or until ctx ends, and calls waits before it
// waits, unless waits is nil. If the stream has ended, the error is
// h2.ErrStreamEnded.
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

// encodeNow is encodeFor for a message whose size is unknown until it is encoded. If
// there is no room for the encoding, it is dropped, so that it takes no memory while
// it waits, and encodeNow returns its size n, prefix included, and no buffer; the
// caller encodes the message again later.
func (o *outgoing) encodeNow(s *h2.Stream, most limit, c Compressor) (buf *h2.Buffer, plain, n int, err error) {
	slot := s.Conn().UnsizedSlot()
	defer slot.End()
	if buf, plain, err = o.encode(nil, most, c); err != nil {
		return nil, 0, 0, err
	}
	slot.Encoded(len(buf.B))
	claim, ok := s.TryReserve(len(buf.B))
	if !ok {
		n = len(buf.B)
		buf.Release()
		return nil, 0, n, nil
	}
	buf.Charge(claim)
	return buf, plain, 0, nil
}

// encode returns the encoding of m with gRPC's prefix, and its size before
// compression. The caller releases the buffer.
func encode(m any, most limit, c Compressor) (buf *h2.Buffer, plain int, err error) {
	o, err := measure(m, most.bytes)
	return o.encode(err, most, c)
}

// encode is the function encode for a message that measure returned together with
// err.
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

// exceeded returns the error for a message of n bytes that was to be sent.
func (l limit) exceeded(n int) error {
	return status.Errorf(codes.ResourceExhausted, "message of %d bytes is larger than the limit of %d for sending (%s)", n, l.bytes, l.field)
}

// marshal returns the encoding, preceded by room for the prefix.
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

// decode decodes the message in buf into m, releases buf, and returns the size after
// decompression, which most limits. c is the compressor of the stream, nil for none.
// slots are the connection's; waiting for one ends with ctx.
func decode(ctx context.Context, buf *h2.Buffer, m any, most limit, c Compressor, slots decodeSlots) (plain int, err error) {
	defer buf.Release()
	b := buf.B
	if buf.Compressed {
		if c == nil {
			return 0, status.Error(codes.Internal, "received a compressed message on a stream that announced no compression")
		}
		end, err := slots.wait(ctx, len(b))
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

// room is a buffer that a message is decompressed into. Rooms are reused whatever
// their size: repeated decompression should not leave behind as much memory as
// messages of a few bytes grow to.
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

// decodeSlots limits how many messages of a connection are decompressed and decoded at
// once. A small message may keep a processor busy for as long as its size limit
// allows, which other connections need too, and may take as much memory as that
// limit.
type decodeSlots chan struct{}

// newDecodeSlots returns those of a connection: nil, which suffices, without
// compressors.
func newDecodeSlots(compressors []Compressor) decodeSlots {
	if len(compressors) == 0 {
		return nil
	}
	return make(decodeSlots, max(1, runtime.GOMAXPROCS(0)/2))
}

// wait waits until a compressed message of n bytes may be decompressed, or until ctx
// ends, whose error it returns. The caller calls end when the message is decoded.
func (t decodeSlots) wait(ctx context.Context, n int) (end func(), err error) {
	if n < decodeSlotLeast {
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

// findCompressor returns the compressor with the given name; nil for "" and
// "identity", which mean no compression.
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

// encodings returns the value of grpc-accept-encoding.
func encodings(list []Compressor) string {
	s := "identity"
	for _, c := range list {
		s += "," + c.Name()
	}
	return s
}

// unlimited returns the limit of messages if none is set. Where an int has 32 bits,
// there is no memory for a message of 2 GiB, let alone for what it is decoded into.
func unlimited() int {
	if math.MaxInt == math.MaxInt32 {
		return DefaultMaxRequestSize
	}
	return h2.MaxMessage
}

// limitOr returns a message limit: n, or fallback if n is zero, or unlimited if n is
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

// inflated returns the limit of messages after decompression. recv is the limit that
// was set, zero for none, and field its name.
func inflated(recv int, field string) limit {
	if recv == 0 {
		field += "; the default is smaller for compressed messages than for others"
	}
	return limit{limitOr(recv, DefaultMaxDecompressedSize), field}
}
