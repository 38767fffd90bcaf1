package plugin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin/internal/spool"
	"github.com/tenonrpc/tenon/wire"
)

// These tests are inside the package because its parts are not exported: only a real
// process has them, and there they cannot be inspected.

// hostStream is a host's end of StreamStdio.
type hostStream struct {
	h2grpc.ServerStreamingServer[wire.StdioData]
	ctx  context.Context
	got  []wire.StdioData
	fail error // returned by Send, if set
}

func (s *hostStream) Context() context.Context { return s.ctx }

func (s *hostStream) Send(m *wire.StdioData) error {
	if s.fail != nil {
		return s.fail
	}
	s.got = append(s.got, wire.StdioData{Channel: m.Channel, Data: bytes.Clone(m.Data)})
	return nil
}

func (s *hostStream) text() string {
	var b strings.Builder
	names := map[wire.Channel]string{wire.ChannelStdout: "STDOUT", wire.ChannelStderr: "STDERR"}
	for _, chunk := range s.got {
		b.WriteString(names[chunk.Channel] + ":" + string(chunk.Data) + "\n")
	}
	return b.String()
}

// maxStdioBuffer is the limit of the outputs in these tests.
const maxStdioBuffer = defaultStdioBuffer

func testOutput(t *testing.T) (*output, *bytes.Buffer) {
	t.Helper()
	log := new(bytes.Buffer)
	return newOutput(slog.New(slog.NewTextHandler(log, nil)), maxStdioBuffer), log
}

func TestOutputOrder(t *testing.T) {
	o, _ := testOutput(t)
	o.Add(wire.ChannelStdout, []byte("a"))
	o.Add(wire.ChannelStdout, []byte("b"))
	o.Add(wire.ChannelStderr, []byte("c"))
	o.Add(wire.ChannelStdout, []byte("d"))
	o.End()
	if o.Add(wire.ChannelStdout, []byte("late")) {
		t.Error("an ended output takes more")
	}
	s := &hostStream{ctx: t.Context()}
	if err := o.StreamStdio(nil, s); err != nil {
		t.Fatal(err)
	}
	if got, want := s.text(), "STDOUT:ab\nSTDERR:c\nSTDOUT:d\n"; got != want {
		t.Errorf("the host receives %q, want %q", got, want)
	}
}

func TestOutputChunks(t *testing.T) {
	o, _ := testOutput(t)
	data := bytes.Repeat([]byte("0123456789"), 10000)
	o.Add(wire.ChannelStdout, data)
	o.End()
	s := &hostStream{ctx: t.Context()}
	if err := o.StreamStdio(nil, s); err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, chunk := range s.got {
		if len(chunk.Data) > maxStdioChunk {
			t.Errorf("a chunk has %d bytes, want at most %d", len(chunk.Data), maxStdioChunk)
		}
		all = append(all, chunk.Data...)
	}
	if !bytes.Equal(all, data) {
		t.Errorf("%d bytes arrive, want %d", len(all), len(data))
	}
}

// TestOutputBound prints single bytes to both streams alternately, which costs most.
func TestOutputBound(t *testing.T) {
	o, log := testOutput(t)
	const each = maxStdioBuffer
	for range each {
		o.Add(wire.ChannelStdout, []byte("o"))
		o.Add(wire.ChannelStderr, []byte("e"))
	}
	o.End()
	s := &hostStream{ctx: t.Context()}
	if err := o.StreamStdio(nil, s); err != nil {
		t.Fatal(err)
	}
	kept := 0
	for _, chunk := range s.got {
		kept += len(chunk.Data)
	}
	if size := kept + len(s.got)*spool.Overhead; size > maxStdioBuffer {
		t.Errorf("the buffer held %d bytes in %d chunks", size, len(s.got))
	}
	if want := fmt.Sprintf("bytes=%d ", 2*each-kept); !strings.Contains(log.String(), want) {
		t.Errorf("the log does not have %q: %s", want, log)
	}
	if n := strings.Count(log.String(), "some output is lost"); n != 1 {
		t.Errorf("the loss is logged %d times: %s", n, log)
	}
}

// gatedStream is a host that takes a message when it is allowed to.
type gatedStream struct {
	hostStream
	gate chan struct{}
}

func (s *gatedStream) Send(m *wire.StdioData) error {
	select {
	case <-s.gate:
		return s.hostStream.Send(m)
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// TestOutputWaitsForSlowHosts has a host that takes a chunk just before stdioPatience has
// passed. Nothing is lost.
func TestOutputWaitsForSlowHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, log := testOutput(t)
		s := &gatedStream{hostStream{ctx: t.Context()}, make(chan struct{})}
		streamed := make(chan error, 1)
		go func() { streamed <- o.StreamStdio(nil, s) }()
		ended := make(chan struct{})
		var opener sync.WaitGroup
		opener.Go(func() {
			for {
				time.Sleep(stdioPatience - time.Millisecond)
				select {
				case s.gate <- struct{}{}:
				case <-ended:
					return
				}
			}
		})
		synctest.Wait()
		data := bytes.Repeat([]byte("0123456789"), 3*maxStdioBuffer/10)
		for part := range slices.Chunk(data, stdioReadSize) {
			o.Add(wire.ChannelStdout, part)
		}
		o.End()
		if err := <-streamed; err != nil {
			t.Error(err)
		}
		close(ended)
		opener.Wait()
		var all []byte
		for _, chunk := range s.got {
			all = append(all, chunk.Data...)
		}
		if !bytes.Equal(all, data) {
			t.Errorf("%d bytes arrive, want %d: %s", len(all), len(data), log)
		}
	})
}

// TestOutputDoesNotWaitForStuckHosts has a host that asks for the output and then takes
// none of it for a while.
func TestOutputDoesNotWaitForStuckHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, log := testOutput(t)
		ctx, cancel := context.WithCancel(t.Context())
		s := &gatedStream{hostStream{ctx: ctx}, make(chan struct{})}
		streamed := make(chan error, 1)
		go func() { streamed <- o.StreamStdio(nil, s) }()
		synctest.Wait()
		begun := time.Now()
		data := make([]byte, stdioReadSize)
		for range 4 * maxStdioBuffer / stdioReadSize {
			o.Add(wire.ChannelStdout, data)
		}
		if took := time.Since(begun); took != stdioPatience {
			t.Errorf("printing took %v, want %v in all", took, stdioPatience)
		}
		// When it takes something again, printing waits for it again.
		for range 2 {
			s.gate <- struct{}{}
		}
		synctest.Wait()
		begun = time.Now()
		for range 4 {
			o.Add(wire.ChannelStdout, data)
		}
		if took := time.Since(begun); took != stdioPatience {
			t.Errorf("printing took %v, want %v again", took, stdioPatience)
		}
		// It goes, and there is no host left to wait for.
		cancel()
		<-streamed
		begun = time.Now()
		o.Add(wire.ChannelStdout, make([]byte, 2*maxStdioBuffer))
		if took := time.Since(begun); took != 0 {
			t.Errorf("printing for nobody took %v", took)
		}
		o.logDropped()
		if !strings.Contains(log.String(), "some output is lost") {
			t.Error("the loss is not logged")
		}
	})
}

// TestOutputStreamBreaks loses the host in the middle of a Send.
func TestOutputStreamBreaks(t *testing.T) {
	o, _ := testOutput(t)
	o.Add(wire.ChannelStdout, []byte("kept"))
	broken := errors.New("the connection is lost")
	if err := o.StreamStdio(nil, &hostStream{ctx: t.Context(), fail: broken}); err != broken {
		t.Fatalf("StreamStdio: %v", err)
	}
	o.Add(wire.ChannelStdout, []byte("!"))
	o.End()
	s := &hostStream{ctx: t.Context()}
	if err := o.StreamStdio(nil, s); err != nil || s.text() != "STDOUT:kept!\n" {
		t.Errorf("the next host receives %q, %v", s.text(), err)
	}
}

// TestOutputTurns has two hosts: the second waits until the first has gone.
func TestOutputTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _ := testOutput(t)
		ctx, cancel := context.WithCancel(t.Context())
		first, second := &hostStream{ctx: ctx}, &hostStream{ctx: t.Context()}
		firstDone, secondDone := make(chan error, 1), make(chan error, 1)
		go func() { firstDone <- o.StreamStdio(nil, first) }()
		synctest.Wait()
		go func() { secondDone <- o.StreamStdio(nil, second) }()
		o.Add(wire.ChannelStdout, []byte("one"))
		synctest.Wait()
		cancel()
		if err := <-firstDone; err != context.Canceled {
			t.Errorf("the first stream ends with %v", err)
		}
		o.Add(wire.ChannelStdout, []byte("two"))
		o.End()
		if err := <-secondDone; err != nil {
			t.Errorf("the second stream ends with %v", err)
		}
		if first.text() != "STDOUT:one\n" || second.text() != "STDOUT:two\n" {
			t.Errorf("the hosts receive %q and %q", first.text(), second.text())
		}

		// One that gives up while it waits for the first to end.
		<-o.token
		ctx, cancel = context.WithCancel(t.Context())
		cancel()
		if err := o.StreamStdio(nil, &hostStream{ctx: ctx}); err != context.Canceled {
			t.Errorf("a stream that waits in vain ends with %v", err)
		}
	})
}

// TestPump feeds a pipe in pieces and cuts the mark at every place.
func TestPump(t *testing.T) {
	const mark = "=MARK="
	for cut := range len("before" + mark + "after") {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		p := &pipe{channel: wire.ChannelStdout, r: r, w: w, mark: []byte(mark), flushed: make(chan struct{})}
		p.marking.Store(true)
		got := make(chan string)
		late := new(bytes.Buffer)
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.pump(func(_ wire.Channel, data []byte) bool {
				got <- string(data)
				return true
			}, late)
		}()
		text := "before" + mark + "after"
		io.WriteString(w, text[:cut])
		var before string
		for len(before) < min(cut, len("before")) {
			before += <-got
		}
		io.WriteString(w, text[cut:])
		for len(before) < len("before") {
			before += <-got
		}
		<-p.flushed
		after := <-got
		for len(after) < len("after") {
			after += <-got
		}
		if before != "before" || after != "after" {
			t.Errorf("cut at %d: %q, %q", cut, before, after)
		}
		w.Close()
		<-done
	}
}

func TestPumpLate(t *testing.T) {
	o, _ := testOutput(t)
	o.End()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &pipe{channel: wire.ChannelStderr, r: r, w: w, mark: []byte("=MARK="), flushed: make(chan struct{})}
	io.WriteString(w, "after the end: =MARK=\n")
	w.Close()
	late := new(bytes.Buffer)
	p.pump(o.Add, late)
	<-p.flushed
	if late.String() != "after the end: =MARK=\n" {
		t.Errorf("the real stderr receives %q", late)
	}
}

func TestPartial(t *testing.T) {
	for _, tt := range []struct {
		data string
		want int
	}{{"", 0}, {"x", 0}, {"xab", 2}, {"ababa", 3}, {"abab", 4}, {"ababc", 0}, {"abac", 0}} {
		if got := partial([]byte(tt.data), []byte("ababc")); got != tt.want {
			t.Errorf("partial(%q) = %d, want %d", tt.data, got, tt.want)
		}
	}
}
