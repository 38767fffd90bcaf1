package h2grpc

import (
	"context"
	"strings"
)

// Raw is the encoding of a message, for programs that pass messages on without
// knowing their types. A *Raw is a [Message]: SendMsg, RecvMsg and Invoke take a
// pointer to a Raw.
//
// RecvMsg and Invoke replace the bytes by those received, in the same memory if there
// is room: slices of a Raw are valid until something is received into it again.
// SendMsg and Invoke copy what they send. The bytes are those before compression,
// which is a property of the call; see [RequestCompressor] and [UseCompressor].
type Raw []byte

// AppendTo implements [Message].
func (r *Raw) AppendTo(b []byte) ([]byte, error) { return append(b, *r...), nil }

// UnmarshalFrom implements [Message].
func (r *Raw) UnmarshalFrom(b []byte) error {
	*r = append((*r)[:0], b...)
	return nil
}

// Size returns the number of bytes.
func (r *Raw) Size() int { return len(*r) }

// RequestCompressor returns the name of the compressor of the requests, "" for none,
// of the call whose handler was given ctx. Responses are compressed with it as well,
// if the client accepts that. A proxy passes it to [UseCompressor].
func RequestCompressor(ctx context.Context) string {
	c, err := callOf(ctx)
	if err != nil || c.compressed == nil {
		return ""
	}
	return c.compressed.Name()
}

// foreign returns a method for a path that no service has: one that calls
// ServerConfig.Unknown, or nil if the call is refused.
func (s *Server) foreign(path string) *method {
	handle := s.cfg.Unknown
	if handle == nil || !isFullMethod(path) {
		return nil
	}
	return &method{name: path, running: &s.unlisted, stream: &StreamDesc{
		Handler:       func(_ any, stream ServerStream) error { return handle(path, stream) },
		ServerStreams: true,
		ClientStreams: true,
	}}
}

// isFullMethod reports whether name has the form /package.Service/Method, in which
// clients of this package send it.
func isFullMethod(name string) bool {
	if !strings.HasPrefix(name, "/") || strings.IndexByte(name[1:], '/') < 1 || strings.HasSuffix(name, "/") {
		return false
	}
	for i := 0; i < len(name); i++ {
		if name[i] <= ' ' || name[i] > '~' {
			return false
		}
	}
	return true
}
