package cases

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/tenonrpc/tenon/plugin/interop/cases/richpb"
)

// Library is what the rich plugin needs of the library that serves it.
type Library interface {
	// Incoming returns the metadata of the call.
	Incoming(ctx context.Context) MD
	SetHeader(ctx context.Context, md MD) error
	SetTrailer(ctx context.Context, md MD) error
	// Log writes a line with an attribute to the plugin's log.
	Log(level, message, key, value string) error
	// Error returns an error that carries a status.
	Error(code uint32, message string, details ...*richpb.Reason) error
	// ServeMirror serves a Mirror on the plugin's end of the broker.
	ServeMirror() (id uint32, err error)
	// DialMirror reaches the host's Mirror through the broker.
	DialMirror(ctx context.Context, id uint32) (Mirror, func(), error)
}

// Handler is the rich plugin's behaviour. Adapters put it behind each
// library's generated code.
type Handler struct {
	lib     Library
	version int

	mu    sync.Mutex
	holds map[string]*hold
}

// hold is what Released waits for. ended is closed once reason is set.
type hold struct {
	ended  chan struct{}
	reason string
}

// NewHandler returns a Handler on lib that serves a version of the plugin.
func NewHandler(lib Library, version int) *Handler {
	return &Handler{lib: lib, version: version, holds: make(map[string]*hold)}
}

// answer sets the headers and trailers that the request asks for.
func (h *Handler) answer(ctx context.Context) error {
	md := h.lib.Incoming(ctx)
	for _, k := range [][3]string{
		{keyAsked, keyHeader, keyTrailer},
		{keyAskedBin, keyHeaderBin, keyTrailerBin},
	} {
		values := md[k[0]]
		if len(values) == 0 {
			continue
		}
		if err := h.lib.SetHeader(ctx, MD{k[1]: values}); err != nil {
			return err
		}
		if err := h.lib.SetTrailer(ctx, MD{k[2]: values}); err != nil {
			return err
		}
	}
	return nil
}

// Echo implements the method of that name.
func (h *Handler) Echo(ctx context.Context, in *richpb.EchoRequest) (*richpb.EchoReply, error) {
	if err := h.answer(ctx); err != nil {
		return nil, err
	}
	if err := h.lib.SetHeader(ctx, MD{keyVersion: {strconv.Itoa(h.version)}}); err != nil {
		return nil, err
	}
	out := &richpb.EchoReply{Payload: in.GetPayload()}
	if deadline, ok := ctx.Deadline(); ok {
		out.NanosecondsLeft = int64(time.Until(deadline))
	}
	return out, nil
}

// Fail implements the method of that name.
func (h *Handler) Fail(_ context.Context, in *richpb.FailRequest) (*richpb.Note, error) {
	if in.GetPlain() {
		return nil, errors.New(in.GetMessage())
	}
	return nil, h.lib.Error(in.GetCode(), in.GetMessage(), in.GetReasons()...)
}

// Print implements the method of that name.
func (h *Handler) Print(_ context.Context, in *richpb.PrintRequest) (*richpb.Note, error) {
	_, errOut := io.WriteString(os.Stdout, in.GetStdout())
	_, errErr := io.WriteString(os.Stderr, in.GetStderr())
	return &richpb.Note{}, errors.Join(errOut, errErr)
}

// Log implements the method of that name.
func (h *Handler) Log(_ context.Context, in *richpb.LogRequest) (*richpb.Note, error) {
	return &richpb.Note{}, h.lib.Log(in.GetLevel(), in.GetMessage(), in.GetKey(), in.GetValue())
}

// Count implements the method of that name.
func (h *Handler) Count(in *richpb.CountRequest, send func(*richpb.Number) error) error {
	for i := range in.GetNumbers() {
		if err := send(&richpb.Number{Value: i + 1, Padding: make([]byte, in.GetPadding())}); err != nil {
			return err
		}
	}
	if in.GetFail() {
		return h.lib.Error(DataLoss, "asked to fail", &richpb.Reason{Text: fmt.Sprint("after ", in.GetNumbers())})
	}
	return nil
}

// Sum implements the method of that name.
func (h *Handler) Sum(recv func() (*richpb.Number, error), reply func(*richpb.Total) error) error {
	total := new(richpb.Total)
	for {
		n, err := recv()
		if errors.Is(err, io.EOF) {
			return reply(total)
		}
		if err != nil {
			return err
		}
		if n.GetValue() < 0 {
			return h.lib.Error(OutOfRange, "a negative number")
		}
		total.Sum += n.GetValue()
		total.Numbers++
	}
}

// Chat implements the method of that name.
func (h *Handler) Chat(ctx context.Context, recv func() (*richpb.Note, error), send func(*richpb.Note) error) error {
	if err := h.answer(ctx); err != nil {
		return err
	}
	for {
		note, err := recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := send(note); err != nil {
			return err
		}
	}
}

// held returns the hold of key, which it makes if need be.
func (h *Handler) held(key string) *hold {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.holds[key] == nil {
		h.holds[key] = &hold{ended: make(chan struct{})}
	}
	return h.holds[key]
}

// Hold implements the method of that name. A key can be held once.
func (h *Handler) Hold(ctx context.Context, in *richpb.HoldRequest, send func(*richpb.Note) error) error {
	held := h.held(in.GetKey())
	if err := send(&richpb.Note{Text: "holding"}); err != nil {
		return err
	}
	<-ctx.Done()
	held.reason = ctx.Err().Error()
	close(held.ended)
	return ctx.Err()
}

// Released implements the method of that name.
func (h *Handler) Released(ctx context.Context, in *richpb.HoldRequest) (*richpb.Note, error) {
	held := h.held(in.GetKey())
	select {
	case <-held.ended:
		return &richpb.Note{Text: held.reason}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// CallBack implements the method of that name.
func (h *Handler) CallBack(ctx context.Context, in *richpb.CallBackRequest) (*richpb.Note, error) {
	mirror, stop, err := h.lib.DialMirror(ctx, in.GetBrokerId())
	if err != nil {
		return nil, err
	}
	defer stop()
	return mirror.Reflect(ctx, &richpb.Note{Text: in.GetText()})
}

// Offer implements the method of that name.
func (h *Handler) Offer(context.Context, *richpb.Note) (*richpb.Offered, error) {
	id, err := h.lib.ServeMirror()
	return &richpb.Offered{BrokerId: id}, err
}

// Reflection is what the Mirror with that id on that side of the broker answers.
func Reflection(side string, id uint32, in *richpb.Note) *richpb.Note {
	return &richpb.Note{Text: fmt.Sprintf("%s %d: %s", side, id, in.GetText())}
}
