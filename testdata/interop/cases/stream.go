package cases

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tenonrpc/tenon/plugin/interop/cases/richpb"
)

func serverStream(ctx context.Context, h Host) error {
	for _, n := range []int64{0, 1, 1000} {
		if err := countTo(ctx, h, &richpb.CountRequest{Numbers: n}); err != nil {
			return err
		}
	}
	return nil
}

func serverStreamLarge(ctx context.Context, h Host) error {
	return countTo(ctx, h, &richpb.CountRequest{Numbers: 2, Padding: large})
}

func countTo(ctx context.Context, h Host, in *richpb.CountRequest) error {
	stream, err := h.Count(ctx, in)
	if err != nil {
		return err
	}
	for i := int64(1); i <= in.GetNumbers(); i++ {
		n, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("number %d of %d: %w", i, in.GetNumbers(), err)
		}
		if n.GetValue() != i || int64(len(n.GetPadding())) != in.GetPadding() {
			return fmt.Errorf("number %d with %d bytes, want %d with %d", n.GetValue(), len(n.GetPadding()), i, in.GetPadding())
		}
	}
	if _, err := stream.Recv(); err == nil {
		return errTooMany
	} else if !errors.Is(err, io.EOF) {
		return fmt.Errorf("the end of the stream: %w", err)
	}
	return nil
}

func serverStreamFailing(ctx context.Context, h Host) error {
	stream, err := h.Count(ctx, &richpb.CountRequest{Numbers: 3, Fail: true})
	if err != nil {
		return err
	}
	for i := range 3 {
		if _, err := stream.Recv(); err != nil {
			return fmt.Errorf("number %d before the failure: %w", i+1, err)
		}
	}
	_, err = stream.Recv()
	st, err := wantCode(h, "Count", err, DataLoss)
	if err != nil {
		return err
	}
	if len(st.Details) != 1 || st.Details[0].GetText() != "after 3" {
		return fmt.Errorf("details %v, want one that says %q", st.Details, "after 3")
	}
	return nil
}

func clientStream(ctx context.Context, h Host) error {
	for _, n := range []int64{0, 1, 1000} {
		stream, err := h.Sum(ctx)
		if err != nil {
			return err
		}
		for i := int64(1); i <= n; i++ {
			if err := stream.Send(&richpb.Number{Value: i}); err != nil {
				return fmt.Errorf("sending %d of %d: %w", i, n, err)
			}
		}
		total, err := stream.CloseAndRecv()
		if err != nil {
			return err
		}
		if total.GetNumbers() != n || total.GetSum() != n*(n+1)/2 {
			return fmt.Errorf("%d numbers were taken as %v", n, total)
		}
	}
	return nil
}

// clientStreamEarly sends for as long as it may after the number that ends
// the call: the plugin's status must come through whatever was on its way.
func clientStreamEarly(ctx context.Context, h Host) error {
	stream, err := h.Sum(ctx)
	if err != nil {
		return err
	}
	n := &richpb.Number{Value: -1, Padding: pattern(64 << 10)}
	for range 10_000 {
		if err = stream.Send(n); err != nil {
			break
		}
	}
	if !errors.Is(err, io.EOF) {
		return fmt.Errorf("sending to a call that has ended: %v, want io.EOF", err)
	}
	_, err = stream.CloseAndRecv()
	_, err = wantCode(h, "Sum", err, OutOfRange)
	return err
}

func chat(ctx context.Context, h Host) error {
	stream, err := h.Chat(h.WithMetadata(ctx, MD{keyAsked: {"chat"}}))
	if err != nil {
		return err
	}
	// One at a time: neither side may hold a message back for more.
	for i := range 50 {
		text := fmt.Sprint("note ", i)
		if err := stream.Send(&richpb.Note{Text: text}); err != nil {
			return fmt.Errorf("sending %q: %w", text, err)
		}
		back, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("the answer to %q: %w", text, err)
		}
		if back.GetText() != text {
			return fmt.Errorf("%q was answered with %q", text, back.GetText())
		}
	}
	head, err := stream.HeaderMD()
	if err != nil {
		return err
	}
	if got := head[keyHeader]; len(got) != 1 || got[0] != "chat" {
		return fmt.Errorf("header %s is %q, want %q", keyHeader, got, "chat")
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if _, err := stream.Recv(); err == nil {
		return errTooMany
	} else if !errors.Is(err, io.EOF) {
		return fmt.Errorf("the end of the stream: %w", err)
	}
	if got := stream.TrailerMD()[keyTrailer]; len(got) != 1 || got[0] != "chat" {
		return fmt.Errorf("trailer %s is %q, want %q", keyTrailer, got, "chat")
	}
	return nil
}

func stdio(ctx context.Context, h Host) error {
	// A line of 10 MB, with what is no text in it.
	out := "out:\x00\x1b " + strings.Repeat("long ", 2<<20) + "\x00\n"
	const errText = "err: café without an end"
	if err := h.Print(ctx, &richpb.PrintRequest{Stdout: out, Stderr: errText}); err != nil {
		return err
	}
	if err := h.Stdout().Wait(ctx, out); err != nil {
		return fmt.Errorf("what the plugin printed on stdout: %w", err)
	}
	if err := h.Stderr().Wait(ctx, errText); err != nil {
		return fmt.Errorf("what the plugin printed on stderr: %w", err)
	}
	return nil
}

// logLevels has the plugin log a line at each level. Only the host's logger
// shows whether the level was understood.
func logLevels(ctx context.Context, h Host) error {
	for _, level := range []string{"DEBUG", "INFO", "WARN", "ERROR"} {
		in := &richpb.LogRequest{Level: level, Message: "a line of the plugin at " + level, Key: "wood", Value: "ash"}
		if err := h.Log(ctx, in); err != nil {
			return err
		}
		if err := h.Logged(ctx, in); err != nil {
			return fmt.Errorf("what the plugin logged at %s: %w", level, err)
		}
	}
	return nil
}
