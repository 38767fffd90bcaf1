package h2grpc

import (
	"context"
	"strings"
)

// Raw is a message as its encoding, for programs that pass messages on without
// knowing what they are. A *Raw is a [Message], so that both SendMsg and RecvMsg
// take a pointer to it.
//
// RecvMsg and Invoke replace the bytes by those received, in the same memory if
// there is room: what was sliced off a Raw is good until it is received into again.
// SendMsg and Invoke copy what they send. The bytes are those before compression:
// which compressor a call has is the call's affair; see [RequestCompressor] and
// [UseCompressor].
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

// RequestCompressor returns the name of the compressor that the client has
// announced for its requests, "" for none, of the call whose handler was given
// ctx. Responses are compressed with it as well, if the client takes that. A proxy
// gives it to [UseCompressor].
func RequestCompressor(ctx context.Context) string {
	c, err := callOf(ctx)
	if err != nil || c.compressed == nil {
		return ""
	}
	return c.compressed.Name()
}

// foreign returns what stands for the method of a path that no service has: one of
// ServerConfig.Unknown's, or nil if the call is refused.
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

// isFullMethod says whether name has the form /package.Service/Method, which
// clients of this package send.
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
