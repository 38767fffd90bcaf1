package cases

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tenonrpc/tenon/plugin/interop/cases/richpb"
)

// large is the size of the large messages: over every default window and
// over grpc-go's default limit of 4 MiB.
const large = 16 << 20

func ping(ctx context.Context, h Host) error { return h.Ping(ctx) }

func unary(ctx context.Context, h Host) error {
	for _, payload := range [][]byte{nil, []byte("mortise"), bytes.Repeat([]byte{0, 255}, 5000)} {
		out, _, _, err := h.Echo(ctx, &richpb.EchoRequest{Payload: payload})
		if err != nil {
			return err
		}
		if !bytes.Equal(out.GetPayload(), payload) {
			return fmt.Errorf("%d bytes came back as %d others", len(payload), len(out.GetPayload()))
		}
	}
	return nil
}

// pattern returns n bytes that differ from place to place, so that a byte
// lost or repeated shows.
func pattern(n int) []byte {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

func unaryLarge(ctx context.Context, h Host) error {
	payload := pattern(large)
	out, _, _, err := h.Echo(ctx, &richpb.EchoRequest{Payload: payload})
	if err != nil {
		return err
	}
	if !bytes.Equal(out.GetPayload(), payload) {
		return errors.New("16 MiB came back changed")
	}
	return nil
}

// The plugin answers each request key below with a header and a trailer of
// the same values.
const (
	keyAsked      = "x-asked"
	keyHeader     = "x-header"
	keyTrailer    = "x-trailer"
	keyAskedBin   = "x-asked-bin"
	keyHeaderBin  = "x-header-bin"
	keyTrailerBin = "x-trailer-bin"
)

// keyVersion is the header with the version that the plugin serves.
const keyVersion = "x-version"

func metadata(ctx context.Context, h Host) error {
	values := []string{"one", "two, with a comma", "printable !\"#$%&'()*+-./:;<=>?@[]^_`{|}~"}
	return metadataEchoed(ctx, h, keyAsked, keyHeader, keyTrailer, values)
}

func binaryMetadata(ctx context.Context, h Host) error {
	values := []string{"", "\x00\xff", "a", "ab", "abc", string(pattern(300))}
	return metadataEchoed(ctx, h, keyAskedBin, keyHeaderBin, keyTrailerBin, values)
}

func metadataEchoed(ctx context.Context, h Host, asked, header, trailer string, values []string) error {
	ctx = h.WithMetadata(ctx, MD{asked: values})
	_, head, trail, err := h.Echo(ctx, &richpb.EchoRequest{})
	if err != nil {
		return err
	}
	if !slices.Equal(head[header], values) {
		return fmt.Errorf("header %s is %q, want %q", header, head[header], values)
	}
	if !slices.Equal(trail[trailer], values) {
		return fmt.Errorf("trailer %s is %q, want %q", trailer, trail[trailer], values)
	}
	return nil
}

func statusDetails(ctx context.Context, h Host) error {
	reasons := []*richpb.Reason{
		{Text: "the first", Blob: pattern(700)},
		{Text: "the second"},
	}
	err := h.Fail(ctx, &richpb.FailRequest{Code: DataLoss, Message: "gone", Reasons: reasons})
	st, err := wantCode(h, "Fail", err, DataLoss)
	if err != nil {
		return err
	}
	if st.Message != "gone" || len(st.Details) != len(reasons) {
		return fmt.Errorf("status %q with %d details, want %q with %d", st.Message, len(st.Details), "gone", len(reasons))
	}
	for i, d := range st.Details {
		if d.GetText() != reasons[i].GetText() || !bytes.Equal(d.GetBlob(), reasons[i].GetBlob()) {
			return fmt.Errorf("detail %d is %v, want %v", i, d, reasons[i])
		}
	}
	return nil
}

// statusLarge: errors may be long, and come as they are.
func statusLarge(ctx context.Context, h Host) error {
	for _, size := range []struct{ text, details int }{{64 << 10, 0}, {10, 47_000}, {5_000_000, 0}, {10, 5_000_000}} {
		in := &richpb.FailRequest{Code: DataLoss, Message: strings.Repeat("x", size.text)}
		if size.details > 0 {
			in.Reasons = []*richpb.Reason{{Text: "large", Blob: pattern(size.details)}}
		}
		st, err := wantCode(h, "Fail", h.Fail(ctx, in), DataLoss)
		if err != nil {
			return err
		}
		if st.Message != in.Message || len(st.Details) != len(in.Reasons) {
			return fmt.Errorf("%d bytes of text and %d details, want %d and %d", len(st.Message), len(st.Details), size.text, len(in.Reasons))
		}
		for i, d := range st.Details {
			if !bytes.Equal(d.GetBlob(), in.Reasons[i].GetBlob()) {
				return fmt.Errorf("a detail of %d bytes came changed", size.details)
			}
		}
	}
	return nil
}

func statusEscaped(ctx context.Context, h Host) error {
	const message = "50 % \t\nof <a> café in 東京 🙂"
	for code := uint32(1); code <= 16; code++ {
		err := h.Fail(ctx, &richpb.FailRequest{Code: code, Message: message})
		st, err := wantCode(h, "Fail", err, code)
		if err != nil {
			return err
		}
		if st.Message != message {
			return fmt.Errorf("message %q, want %q", st.Message, message)
		}
	}
	return nil
}

func plainError(ctx context.Context, h Host) error {
	err := h.Fail(ctx, &richpb.FailRequest{Plain: true, Message: "no status here"})
	st, err := wantCode(h, "Fail", err, Unknown)
	if err != nil {
		return err
	}
	if st.Message != "no status here" {
		return fmt.Errorf("message %q, want %q", st.Message, "no status here")
	}
	return nil
}

func missingMethod(ctx context.Context, h Host) error {
	_, err := wantCode(h, "a missing method", h.Missing(ctx), Unimplemented)
	return err
}

func deadlineSeen(ctx context.Context, h Host) error {
	out, _, _, err := h.Echo(context.WithoutCancel(ctx), &richpb.EchoRequest{})
	if err != nil {
		return err
	}
	if out.GetNanosecondsLeft() != 0 {
		return fmt.Errorf("a call without a deadline arrived with one, %v ahead", time.Duration(out.GetNanosecondsLeft()))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Minute)
	defer cancel()
	out, _, _, err = h.Echo(ctx, &richpb.EchoRequest{})
	if err != nil {
		return err
	}
	if left := time.Duration(out.GetNanosecondsLeft()); left < 9*time.Minute || left > 10*time.Minute {
		return fmt.Errorf("a deadline 10 minutes ahead arrived as %v ahead", left)
	}
	return nil
}

func deadlineKept(ctx context.Context, h Host) error {
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	return held(ctx, h, "deadline", short, func() {}, DeadlineExceeded)
}

func cancelled(ctx context.Context, h Host) error {
	hold, cancel := context.WithCancel(ctx)
	defer cancel()
	return held(ctx, h, "cancel", hold, cancel, Canceled)
}

// held starts a Hold with the context hold, calls end, and requires that the
// host sees code and that the plugin's handler is released.
func held(ctx context.Context, h Host, key string, hold context.Context, end func(), code uint32) error {
	stream, err := h.Hold(hold, &richpb.HoldRequest{Key: key})
	if err != nil {
		return fmt.Errorf("Hold: %w", err)
	}
	if _, err := stream.Recv(); err != nil {
		return fmt.Errorf("the note before the wait: %w", err)
	}
	end()
	_, err = stream.Recv()
	if errors.Is(err, io.EOF) {
		return errors.New("the stream ended well")
	}
	if _, err := wantCode(h, "Hold", err, code); err != nil {
		return err
	}
	note, err := h.Released(ctx, &richpb.HoldRequest{Key: key})
	if err != nil {
		return fmt.Errorf("Released: %w", err)
	}
	if !strings.HasPrefix(note.GetText(), "context ") {
		return fmt.Errorf("the handler ended with %q, want a context's error", note.GetText())
	}
	return nil
}

func manyCalls(ctx context.Context, h Host) error {
	const callers, calls = 32, 20
	var wg sync.WaitGroup
	errs := make([]error, callers)
	for i := range callers {
		wg.Go(func() {
			for j := range calls {
				payload := fmt.Appendf(nil, "caller %d call %d", i, j)
				out, _, _, err := h.Echo(ctx, &richpb.EchoRequest{Payload: payload})
				if err == nil && !bytes.Equal(out.GetPayload(), payload) {
					err = fmt.Errorf("got %q, want %q", out.GetPayload(), payload)
				}
				if err != nil {
					errs[i] = fmt.Errorf("caller %d: %w", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
