package h2grpc_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"testing"

	"golang.org/x/net/http2"

	"github.com/tenonrpc/tenon/h2grpc/internal/fastpath"
)

// Ceilings of allocations for messages that allocate nothing themselves: the measured
// numbers, so that an increase is noticed. The server's include two of the test's own
// handler.
const (
	clientUnaryAllocs    = 0
	serverUnaryAllocs    = 5
	clientDeadlineAllocs = 0
	serverDeadlineAllocs = 10
	streamMessageAllocs  = 2 // both ends, both ways
)

// measure fails if a run causes more than most allocations in the process.
func measure(t *testing.T, name string, most float64, run func()) float64 {
	t.Helper()
	for range 200 {
		run()
	}
	n := testing.AllocsPerRun(2000, run)
	t.Logf("%s: %v allocations", name, n)
	if n > most {
		t.Errorf("%s: %v allocations, want at most %v", name, n, most)
	}
	return n
}

// TestAllocations measures what a call allocates, on sockets, because in memory each
// write needs a goroutine.
func TestAllocations(t *testing.T) {
	needs(t, fastpath.HeaderMemo, fastpath.WholeExchange, fastpath.BlockCache, fastpath.OwnReading, fastpath.HandlersOnReader, fastpath.TryWrite)
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	if runtime.GOOS == "windows" {
		t.Skip("the numbers are of systems where a write is tried at once: see internal/h2/trywrite_unix.go")
	}
	ctx := context.Background()
	deadline, cancel := context.WithTimeout(ctx, 1<<40)
	defer cancel()
	in, out := msg("ping"), new(raw)
	cannedServer, _ := start(t, setup{listen: listenCanned, service: &testService{}})
	call := func() {
		if err := cannedServer.Invoke(ctx, unaryMethod, in, out); err != nil || string(*out) != "pong" {
			t.Fatal(string(*out), err)
		}
	}
	client := measure(t, "a unary call, the client", clientUnaryAllocs, call)
	ctx = deadline
	clientDeadline := measure(t, "a unary call with a deadline, the client", clientDeadlineAllocs, call)

	reply := msg("pong")
	cc, _ := start(t, setup{listen: listenSocket, service: &testService{
		unary:  func(context.Context, *raw) (*raw, error) { return reply, nil },
		stream: echoStream,
	}})
	ctx = context.Background()
	call = func() {
		if err := cc.Invoke(ctx, unaryMethod, in, out); err != nil {
			t.Fatal(err)
		}
	}
	measure(t, "a unary call, both ends", client+serverUnaryAllocs, call)
	ctx = deadline
	measure(t, "a unary call with a deadline, both ends", clientDeadline+serverDeadlineAllocs, call)
	s, err := cc.NewStream(context.Background(), &bidiDesc, bidiMethod)
	if err != nil {
		t.Fatal(err)
	}
	measure(t, "a message to and fro on a stream", streamMessageAllocs, func() {
		if err := s.SendMsg(in); err != nil {
			t.Fatal(err)
		}
		if err := s.RecvMsg(out); err != nil {
			t.Fatal(err)
		}
	})
	s.CloseSend()
	if err := s.RecvMsg(out); err != io.EOF {
		t.Error(err)
	}
}

// listenCanned listens with a server that allocates nothing: it answers every request
// with "pong".
func listenCanned(t testing.TB) (net.Listener, func(context.Context) (net.Conn, error)) {
	lis, dial := listenSocket(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			nc, err := lis.Accept()
			if err != nil {
				return
			}
			serveCanned(nc)
		}
	}()
	t.Cleanup(func() {
		lis.Close()
		<-done
	})
	// The server that the test has made serves no one.
	idle, _ := listenMemory(t)
	return idle, dial
}

func serveCanned(nc net.Conn) {
	defer nc.Close()
	br := bufio.NewReader(nc)
	br.Discard(len(http2.ClientPreface))
	nc.Write([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0}) // SETTINGS and an ack
	// The fields of the first answer enter the table, later answers refer to them, as a
	// server's do.
	answer, at := cannedAnswer("\x88\x5f\x10application/grpc", "\x40\x0bgrpc-status\x010")
	var frame [9]byte
	for {
		if _, err := io.ReadFull(br, frame[:]); err != nil {
			return
		}
		n := int(frame[0])<<16 | int(frame[1])<<8 | int(frame[2])
		if _, err := br.Discard(n); err != nil {
			return
		}
		if frame[3] == byte(http2.FrameData) && frame[4] == 1 {
			id := binary.BigEndian.Uint32(frame[5:])
			for _, i := range at {
				binary.BigEndian.PutUint32(answer[i+5:], id)
			}
			if _, err := nc.Write(answer); err != nil {
				return
			}
			if id == 1 {
				answer, at = cannedAnswer("\x88\xbf", "\xbe")
			}
		}
	}
}

// cannedAnswer returns the frames of an answer and where each begins.
func cannedAnswer(head, trailer string) (b []byte, at [3]int) {
	b = append([]byte{0, 0, byte(len(head)), 1, 4, 0, 0, 0, 0}, head...)
	at[1] = len(b)
	b = append(b, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 'p', 'o', 'n', 'g')
	at[2] = len(b)
	b = append(b, 0, 0, byte(len(trailer)), 1, 5, 0, 0, 0, 0)
	return append(b, trailer...), at
}

// TestLargeMessageBytes: calls with a large message allocate no more bytes than the
// application's own copy, in plaintext and over TLS: the buffers of messages are
// reused.
func TestLargeMessageBytes(t *testing.T) {
	needs(t, fastpath.LargeBuffers, fastpath.Parts)
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, secure := range []bool{false, true} {
		const calls, size = 50, 1 << 20
		reply := make(raw, 0, size)
		cc, _ := start(t, setup{listen: listenSocket, tls: secure, service: &testService{unary: func(_ context.Context, in *raw) (*raw, error) {
			reply = append(reply[:0], *in...)
			return &reply, nil
		}}})
		in, out := make(raw, size), new(raw)
		var before, after runtime.MemStats
		for i := range 2 * calls {
			if i == calls {
				runtime.ReadMemStats(&before)
			}
			if err := cc.Invoke(t.Context(), unaryMethod, &in, out); err != nil || len(*out) != size {
				t.Fatal(len(*out), err)
			}
		}
		runtime.ReadMemStats(&after)
		// The server's handler gets a message of its own.
		if n := int(after.TotalAlloc-before.TotalAlloc) / calls; n > size*5/4 {
			t.Errorf("TLS %t: a call with %d bytes each way allocates %d", secure, size, n)
		}
	}
}
