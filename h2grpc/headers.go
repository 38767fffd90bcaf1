package h2grpc

import (
	"fmt"
	"strings"

	"github.com/tenonrpc/tenon/h2grpc/internal/h2"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/wire"
)

// reserved reports whether a field belongs to gRPC or HTTP, so that applications
// neither set nor see it: the fields that gRPC's PROTOCOL-HTTP2 document defines, and
// one that older implementations send. That document reserves all names that begin
// with grpc- for gRPC, which is more than a library: the instrumentation of
// OpenCensus and OpenTelemetry sends traces in grpc-trace-bin and grpc-tags-bin, and
// retries are counted in grpc-previous-rpc-attempts. Those are passed on, as grpc-go
// does.
func reserved(name string) bool {
	switch name {
	case "content-type", "te", "user-agent", "host", "content-length", "connection", "keep-alive",
		"proxy-connection", "transfer-encoding", "upgrade",
		"grpc-timeout", "grpc-encoding", "grpc-accept-encoding", "grpc-message-type",
		"grpc-status", "grpc-message", "grpc-status-details-bin":
		return true
	}
	return strings.HasPrefix(name, ":")
}

func isBin(name string) bool { return strings.HasSuffix(name, "-bin") }

// checkPair returns an error for a metadata pair that cannot be sent.
func checkPair(k, v string) error {
	if k == "" {
		return fmt.Errorf("metadata key is empty")
	}
	for i := 0; i < len(k); i++ {
		c := k[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.') {
			return fmt.Errorf("metadata key %.100q has characters other than a-z 0-9 . _ and -", k)
		}
	}
	if isBin(k) {
		return nil
	}
	for i := 0; i < len(v); i++ {
		if v[i] < 0x20 || v[i] > 0x7e {
			return fmt.Errorf("metadata value of %.100q has characters that are not printable ASCII: use a key that ends in -bin", k)
		}
	}
	return nil
}

// appendPair appends a metadata pair as it is sent. Reserved keys are skipped, so
// that received metadata can be sent on.
func appendPair(dst []h2.Field, k, v string) ([]h2.Field, error) {
	k = strings.ToLower(k)
	if reserved(k) {
		return dst, nil
	}
	if err := checkPair(k, v); err != nil {
		return dst, err
	}
	if isBin(k) {
		v = string(wire.AppendBin(nil, v))
	} else {
		v = strings.Trim(v, " ") // HTTP/2 forbids white space at the ends
	}
	return append(dst, h2.Field{Name: k, Value: v}), nil
}

// appendMD appends metadata as it is sent.
func appendMD(dst []h2.Field, md metadata.MD) ([]h2.Field, error) {
	for k, vals := range md {
		for _, v := range vals {
			var err error
			if dst, err = appendPair(dst, k, v); err != nil {
				return dst, err
			}
		}
	}
	return dst, nil
}
