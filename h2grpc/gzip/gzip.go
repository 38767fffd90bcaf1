// Package gzip compresses gRPC messages with gzip (RFC 1952).
//
// It is opt-in: nothing in h2grpc links it. A server that is given a compressor
// accepts compressed requests and compresses its responses to them; a client that is
// given one announces it to the server and compresses the requests of the calls that
// ask for it:
//
//	h2grpc.ServerConfig{Compressors: []h2grpc.Compressor{gzip.New()}}
//	h2grpc.ClientConfig{Compressors: []h2grpc.Compressor{gzip.New()}}
//	client.Put(ctx, request, h2grpc.UseCompressor(gzip.Name))
//
// Compression reveals the size of a message to whoever sees the encrypted connection.
// Where an attacker can put text of their own beside a secret in one message, that
// size reveals the secret: do not compress there.
//
// # What is accepted
//
// A message is one gzip file as RFC 1952 §2.2 defines it: one member or several,
// whose contents are joined. Everything else is an error: no member at all, a member
// that is cut short, a wrong checksum or length, and any byte after the last member,
// including zero bytes.
package gzip

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/tenonrpc/tenon/h2grpc"
)

// Name is the content coding's name, for [h2grpc.UseCompressor].
const Name = "gzip"

const (
	// countAbove is how many bytes of a message are decompressed into memory before its
	// length is counted. A larger message is decompressed twice: once to learn its
	// length, which takes no memory whatever its size, and once into a buffer of that
	// length.
	countAbove = 1 << 20
	// firstRoom is the size of the buffer with which the decompression of a message
	// begins.
	firstRoom = 4 << 10
)

// New returns a compressor with gzip's default level.
func New() h2grpc.Compressor {
	c, err := NewLevel(gzip.DefaultCompression)
	if err != nil {
		panic(err) // the default is a level
	}
	return c
}

// NewLevel returns a compressor with a level of compress/gzip: 1 is the fastest, 9
// gives the smallest messages, 0 stores without compressing, -1 is the default, and
// -2 uses Huffman coding alone. Any other level is an error. Decompressing does not
// depend on the level.
func NewLevel(level int) (h2grpc.Compressor, error) {
	w, err := gzip.NewWriterLevel(io.Discard, level)
	if err != nil {
		return nil, fmt.Errorf("gzip: level %d is not between -2 and 9", level)
	}
	c := &compressor{level: level}
	c.writers.Put(w)
	return c, nil
}

// compressor implements h2grpc.Compressor. With its pools it allocates nothing after
// the first messages.
type compressor struct {
	level   int
	writers sync.Pool // of *gzip.Writer
	readers sync.Pool // of *reader
}

func (*compressor) Name() string { return Name }

// appender is an io.Writer that appends.
type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}

func (c *compressor) Compress(dst, src []byte) ([]byte, error) {
	w, _ := c.writers.Get().(*gzip.Writer)
	if w == nil {
		var err error
		if w, err = gzip.NewWriterLevel(io.Discard, c.level); err != nil {
			return dst, err
		}
	}
	out := appender{dst}
	w.Reset(&out)
	_, err := w.Write(src)
	if err == nil {
		err = w.Close()
	}
	w.Reset(io.Discard) // so that the pool does not hold the message
	c.writers.Put(w)
	if err != nil {
		return dst, err
	}
	return out.b, nil
}

// reader decompresses one message at a time.
type reader struct {
	src  bytes.Reader
	gzip gzip.Reader
}

// reset prepares the reader to decompress src.
func (r *reader) reset(src []byte) error {
	r.src.Reset(src)
	return corrupt(r.gzip.Reset(&r.src))
}

// corrupt replaces the errors of reading past the end of src by one that names the
// cause.
func corrupt(err error) error {
	switch err {
	case io.EOF:
		return errors.New("the compressed message is empty")
	case io.ErrUnexpectedEOF:
		return errors.New("the compressed message is cut short")
	}
	return err
}

func (c *compressor) Decompress(dst, src []byte, limit int) ([]byte, error) {
	r, _ := c.readers.Get().(*reader)
	if r == nil {
		r = new(reader)
	}
	out, err := r.decompress(dst, src, max(limit, 0))
	r.src.Reset(nil) // so that the pool does not hold the message
	c.readers.Put(r)
	if err != nil {
		return out[:len(dst)], err // Decompress may have replaced dst
	}
	return out, nil
}

// room returns b with a capacity of at least n, and of exactly n if it has to be
// copied for that.
func room(b []byte, n int) []byte {
	if cap(b) >= n {
		return b
	}
	return append(make([]byte, 0, n), b...)
}

func (r *reader) decompress(dst, src []byte, limit int) ([]byte, error) {
	if err := r.reset(src); err != nil {
		return dst, err
	}
	have := len(dst)
	most := have + min(limit, countAbove) // until the length is counted
	out := room(dst, min(most, have+firstRoom))
	for len(out) < most {
		if len(out) == cap(out) {
			out = room(out, min(most, 2*len(out)))
		}
		n, err := r.gzip.Read(out[len(out):min(cap(out), most)])
		out = out[:len(out)+n]
		if err == io.EOF {
			return out, nil
		} else if err != nil {
			return out, corrupt(err)
		}
	}
	// There may be more. Its length is counted before room for it is made.
	n := len(out) - have
	if more, err := io.Copy(io.Discard, io.LimitReader(&r.gzip, int64(limit-n)+1)); err != nil {
		return out, corrupt(err)
	} else if n += int(more); n > limit {
		return out, h2grpc.ErrTooLarge
	}
	if n == len(out)-have {
		return out, nil
	}
	if err := r.reset(src); err != nil {
		return out, err
	}
	out = room(out[:have], have+n)[:have+n]
	if _, err := io.ReadFull(&r.gzip, out[have:]); err != nil {
		return out, corrupt(err)
	}
	return out, nil
}
