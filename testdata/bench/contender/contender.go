// Package contender holds the libraries that are measured side by side: the
// same service and the same client, once for each, over a unix socket, in
// plaintext and with mutual TLS. Every library runs with its defaults except for
// limits (message sizes, numbers of streams) that a load would run into.
package contender

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"github.com/tenonrpc/tenon/plugin/bench/echopb"
)

// Message is the message of all calls.
type Message = echopb.Message

// ErrUnfit is what a contender answers that has nothing of the kind: raw
// sockets have no streams.
var ErrUnfit = errors.New("the contender cannot do this")

// Method is a streaming method.
type Method string

// The streaming methods. See service.go for what they do.
const (
	Source Method = "Source" // one request, many responses
	Sink   Method = "Sink"   // many requests, one response
	Chat   Method = "Chat"   // each request is answered as it comes
)

// Conn is a client. Any number of goroutines may make calls.
type Conn interface {
	// Echo returns what it is given.
	Echo(ctx context.Context, in *Message) (*Message, error)
	// Inspect is Echo with metadata: names and values in turn. The handler
	// looks at all of them and at the deadline.
	Inspect(ctx context.Context, pairs []string, in *Message) (*Message, error)
	// Open begins a stream.
	Open(ctx context.Context, method Method) (Stream, error)
	Close() error
}

// Stream is a client's stream. One goroutine may send while another receives.
// Of a Source's stream one message is sent and then CloseSend; of a Sink's one
// message is received after CloseSend. Every stream must be received from until
// an error (io.EOF at its end), except after a Sink's response.
type Stream interface {
	Send(*Message) error
	CloseSend() error
	Recv() (*Message, error)
}

// Dialer makes a raw connection to the server.
type Dialer func(context.Context) (net.Conn, error)

// Serve serves the service until stop is called, which also closes the
// listener. A nil config means plaintext.
type Serve func(l net.Listener, config *tls.Config) (stop func(), err error)

// Dial returns a client. A nil config means plaintext.
type Dial func(dial Dialer, config *tls.Config) (Conn, error)

// Contender is a client and a server that are measured together.
type Contender struct {
	Name  string
	Serve Serve
	Dial  Dial
}

// Names of contenders that others refer to.
const (
	Tenon       = "tenon"
	GRPC        = "grpc-go"
	TenonToGRPC = "tenon → grpc-go"
	GRPCToTenon = "grpc-go → tenon"
	Raw         = "raw"
)

// All returns the contenders. Those with an arrow in their names have the
// client of one library and the server of another.
func All() []Contender {
	return []Contender{
		{Tenon, serveTenon, dialTenon},
		{GRPC, serveGRPC, dialGRPC},
		{TenonToGRPC, serveGRPC, dialTenon},
		{GRPCToTenon, serveTenon, dialGRPC},
		{"ttrpc", serveTTRPC, dialTTRPC},
		{"drpc", serveDRPC, dialDRPC},
		{"connect-go", serveConnect, dialConnect},
		{Raw, serveRaw, dialRaw},
	}
}

// Find returns the contender of that name.
func Find(name string) (Contender, bool) {
	for _, c := range All() {
		if c.Name == name {
			return c, true
		}
	}
	return Contender{}, false
}

// Limits that no load reaches.
const (
	maxStreams = 1 << 14
	maxMessage = 1 << 28
)

// service is the name of the service in libraries that need one.
const service = "tenon.bench.v1.Bench"

// path returns the full name of a method.
func path(method string) string { return "/" + service + "/" + method }
