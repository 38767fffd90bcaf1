// Package cases holds what every pair of a host and a plugin is put through,
// whichever library is on either side: the messages, the plugin's behaviour
// ([Handler]) and the cases that a host runs ([All]). It knows of no other
// implementation than ours, so that modules with different versions of other
// implementations can share it.
package cases

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tenonrpc/tenon/plugin/interop/cases/richpb"
)

// MD is metadata as every implementation has it.
type MD = map[string][]string

// The handshake of the rich plugin, and its name in a plugin set.
const (
	ProtocolVersion  = 3
	MagicCookieKey   = "TENON_INTEROP"
	MagicCookieValue = "mortise"
	PluginName       = "rich"
)

// MaxMessage is the largest message that the rich plugin and its hosts must
// take: 64 MiB, four times what the cases send.
const MaxMessage = 64 << 20

// MissingMethod is a method of the rich service that does not exist.
const MissingMethod = "/tenon.interop.v1.Rich/Missing"

// Timeout bounds one case. It is generous: a case that needs it has failed.
const Timeout = 30 * time.Second

// Host is a running plugin seen from its host.
type Host interface {
	// WithMetadata adds request metadata to the calls made with the context.
	WithMetadata(ctx context.Context, md MD) context.Context
	// Status takes an error of a call apart.
	Status(err error) Status

	Echo(ctx context.Context, in *richpb.EchoRequest) (out *richpb.EchoReply, header, trailer MD, err error)
	Fail(ctx context.Context, in *richpb.FailRequest) error
	Print(ctx context.Context, in *richpb.PrintRequest) error
	Log(ctx context.Context, in *richpb.LogRequest) error
	Count(ctx context.Context, in *richpb.CountRequest) (NumberReceiver, error)
	Sum(ctx context.Context) (SumStream, error)
	Chat(ctx context.Context) (ChatStream, error)
	Hold(ctx context.Context, in *richpb.HoldRequest) (NoteReceiver, error)
	Released(ctx context.Context, in *richpb.HoldRequest) (*richpb.Note, error)
	CallBack(ctx context.Context, in *richpb.CallBackRequest) (*richpb.Note, error)
	Offer(ctx context.Context) (id uint32, err error)
	// Missing calls a method that the plugin's service does not have.
	Missing(ctx context.Context) error

	// Ping asks the health service, as hosts do.
	Ping(ctx context.Context) error
	// ServeMirror serves a Mirror on the host's end of the broker.
	ServeMirror(ctx context.Context) (id uint32, stop func(), err error)
	// DialMirror reaches the plugin's Mirror through the broker.
	DialMirror(ctx context.Context, id uint32) (Mirror, func(), error)
	// Stdout and Stderr are what has come over the stdio service.
	Stdout() *Output
	Stderr() *Output
	// Logged waits until the host has logged what the plugin did: the level and
	// the attribute apart from the message.
	Logged(ctx context.Context, in *richpb.LogRequest) error
	// Version is the version that was agreed on, and that of the set that the
	// host has taken: they must be one.
	Version() (agreed, dispensed int)
	// Socket is where the plugin listens.
	Socket() (network, address string)
	// Stop ends the plugin as a host does. It fails if that was not clean.
	Stop(ctx context.Context) error
}

// NumberReceiver is the stream that Count returns.
type NumberReceiver interface {
	Recv() (*richpb.Number, error)
}

// NoteReceiver is the stream that Hold returns.
type NoteReceiver interface {
	Recv() (*richpb.Note, error)
}

// SumStream is the stream that Sum returns.
type SumStream interface {
	Send(*richpb.Number) error
	CloseAndRecv() (*richpb.Total, error)
}

// ChatStream is the stream that Chat returns.
type ChatStream interface {
	Send(*richpb.Note) error
	Recv() (*richpb.Note, error)
	CloseSend() error
	// HeaderMD waits for the response headers. TrailerMD is called once Recv
	// has failed.
	HeaderMD() (MD, error)
	TrailerMD() MD
}

// Mirror calls a brokered service.
type Mirror interface {
	Reflect(ctx context.Context, in *richpb.Note) (*richpb.Note, error)
}

// Status is the status of a call in every implementation's terms.
type Status struct {
	Code    uint32
	Message string
	Details []*richpb.Reason
}

// The codes that the cases use, as gRPC numbers them.
const (
	Canceled          = 1
	Unknown           = 2
	DeadlineExceeded  = 4
	ResourceExhausted = 8
	OutOfRange        = 11
	Unimplemented     = 12
	DataLoss          = 15
)

// Case is one thing that a host and a plugin must agree on.
type Case struct {
	Name string
	Run  func(ctx context.Context, h Host) error
	// Multiplexed is for cases that need multiplexing.
	Multiplexed bool
}

// Brokered says whether the case is about brokered connections.
func (c Case) Brokered() bool { return strings.HasPrefix(c.Name, "broker: ") }

// All returns the cases, in the order they are run in on one plugin. The last
// one ends the plugin.
func All() []Case {
	return []Case{
		{Name: "ping", Run: ping},
		{Name: "unary", Run: unary},
		{Name: "unary of 16 MiB", Run: unaryLarge},
		{Name: "metadata", Run: metadata},
		{Name: "binary metadata", Run: binaryMetadata},
		{Name: "status with details", Run: statusDetails},
		{Name: "large status", Run: statusLarge},
		{Name: "status message escaped", Run: statusEscaped},
		{Name: "plain error", Run: plainError},
		{Name: "missing method", Run: missingMethod},
		{Name: "deadline seen", Run: deadlineSeen},
		{Name: "deadline kept", Run: deadlineKept},
		{Name: "cancel", Run: cancelled},
		{Name: "server stream", Run: serverStream},
		{Name: "server stream of 16 MiB", Run: serverStreamLarge},
		{Name: "server stream failing", Run: serverStreamFailing},
		{Name: "client stream", Run: clientStream},
		{Name: "client stream ended early", Run: clientStreamEarly},
		{Name: "two-way stream", Run: chat},
		{Name: "many calls at once", Run: manyCalls},
		{Name: "stdio", Run: stdio},
		{Name: "log levels", Run: logLevels},
		{Name: "broker: host serves", Run: brokerHostServes},
		{Name: "broker: plugin serves", Run: brokerPluginServes},
		{Name: "broker: host serves many", Run: brokerHostServesMany},
		{Name: "broker: plugin serves many", Run: brokerPluginServesMany},
		{Name: "broker: both serve many", Run: brokerBothServeMany},
		{Name: "broker: plugin serves again", Run: brokerPluginServesAgain, Multiplexed: true},
		{Name: "broker: plugin serves one many", Run: brokerPluginServesOneMany, Multiplexed: true},
		{Name: "shutdown", Run: func(ctx context.Context, h Host) error { return h.Stop(ctx) }},
	}
}

// Named returns the cases of these names, in their order.
func Named(names ...string) []Case {
	return slices.DeleteFunc(All(), func(c Case) bool { return !slices.Contains(names, c.Name) })
}

// Served checks that both sides use a version of the plugin.
func Served(ctx context.Context, h Host, version int) error {
	_, header, _, err := h.Echo(ctx, &richpb.EchoRequest{})
	if err != nil {
		return err
	}
	if got, want := header[keyVersion], strconv.Itoa(version); !slices.Equal(got, []string{want}) {
		return fmt.Errorf("the plugin serves version %q, want %s", got, want)
	}
	if agreed, dispensed := h.Version(); agreed != version || dispensed != version {
		return fmt.Errorf("the host has agreed on version %d and uses the set of %d, want %d", agreed, dispensed, version)
	}
	return nil
}

// Try runs the case within [Timeout]. A panic of the library is a failure.
func (c Case) Try(ctx context.Context, h Host) (err error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return c.Run(ctx, h)
}

func wantCode(h Host, what string, err error, code uint32) (Status, error) {
	if err == nil {
		return Status{}, fmt.Errorf("%s succeeded, want code %d", what, code)
	}
	st := h.Status(err)
	if st.Code != code {
		return st, fmt.Errorf("%s: code %d (%v), want %d", what, st.Code, err, code)
	}
	return st, nil
}

var errTooMany = errors.New("the stream sends more than it should")
