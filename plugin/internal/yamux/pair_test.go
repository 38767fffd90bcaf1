package yamux_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/plugin/internal/socktest"
	"github.com/tenonrpc/tenon/plugin/internal/yamux"
)

// sockets returns both ends of a socket.
func sockets(t *testing.T) (client, server net.Conn) {
	t.Helper()
	dir, err := os.MkdirTemp("", "tn")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := socktest.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = socktest.Dial(l.Addr()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return client, server
}

func pair(t *testing.T) (client, server *yamux.Session) {
	t.Helper()
	a, b := sockets(t)
	client, server = yamux.Client(a), yamux.Server(b)
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	return client, server
}

// echo answers each stream with its own data, and closes it when the peer has.
func echo(s *yamux.Session) {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		st, err := s.Accept()
		if err != nil {
			return
		}
		all.Go(func() {
			defer st.Close()
			io.Copy(st, st)
		})
	}
}

// converse sends data on a new stream and requires the same in return.
func converse(s *yamux.Session, data []byte) error {
	st, err := s.Open(context.Background())
	if err != nil {
		return err
	}
	defer st.Close()
	wrote := make(chan error, 1)
	go func() {
		_, err := st.Write(data)
		wrote <- errors.Join(err, st.CloseWrite())
	}()
	sum := sha256.New()
	n, err := io.Copy(sum, st)
	if err := errors.Join(err, <-wrote); err != nil {
		return fmt.Errorf("stream %d, %d of %d bytes: %w", st.ID(), n, len(data), err)
	}
	if want := sha256.Sum256(data); !bytes.Equal(sum.Sum(nil), want[:]) {
		return fmt.Errorf("stream %d: %d bytes came back as %d others", st.ID(), len(data), n)
	}
	return nil
}

func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

// TestTransfer sends a lot of data, at once, in both directions of both sides' streams.
func TestTransfer(t *testing.T) {
	client, server := pair(t)
	var served, all sync.WaitGroup
	served.Go(func() { echo(client) })
	served.Go(func() { echo(server) })
	for i := range 8 {
		for _, s := range []*yamux.Session{client, server} {
			all.Go(func() {
				if err := converse(s, noise(4<<20+i)); err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	client.Close()
	server.Close()
	served.Wait()
}

// TestManyStreams has 2000 streams open at once.
func TestManyStreams(t *testing.T) {
	const streams = 2000
	client, server := pair(t)
	var served sync.WaitGroup
	served.Go(func() { echo(server) })
	var open []*yamux.Stream
	for i := range streams {
		st, err := client.Open(t.Context())
		if err != nil {
			t.Fatalf("stream %d: %v", i, err)
		}
		open = append(open, st)
		if _, err := fmt.Fprintf(st, "stream %d", i); err != nil {
			t.Fatal(err)
		}
	}
	for i, st := range open {
		wantRead(t, st, fmt.Sprintf("stream %d", i))
		<-st.Accepted()
	}
	if n := client.NumStreams(); n != streams {
		t.Errorf("%d streams are open", n)
	}
	for _, st := range open {
		st.CloseWrite()
		wantReadErr(t, st, io.EOF)
		st.Close()
	}
	if n := client.NumStreams(); n != 0 {
		t.Errorf("%d streams are left", n)
	}
	client.Close()
	served.Wait()
}

// TestLastWords ends a session right after a last answer. When a socket with unread data
// is closed, TCP discards what the peer has not read.
func TestLastWords(t *testing.T) {
	for range 50 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		a, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		b, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		client, server := yamux.Client(a), yamux.Server(b)
		asked, err := client.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		asked.Write([]byte("question"))
		answering, err := server.Accept()
		if err != nil {
			t.Fatal(err)
		}
		wantRead(t, answering, "question")
		asked.Write(make([]byte, window-8)) // it will not be read
		answering.Write([]byte("answer"))
		answering.Close()
		server.Close()
		got, err := io.ReadAll(asked)
		if string(got) != "answer" || err != nil {
			t.Fatalf("the last words are %q, %v", got, err)
		}
		client.Close()
	}
}

// faulty fails after a number of reads and writes.
type faulty struct {
	net.Conn
	mu    sync.Mutex
	left  int // calls that still work; negative means all
	calls int
}

var errBroken = errors.New("broken on purpose")

func (f *faulty) step() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.left == 0 {
		return errBroken
	}
	f.left--
	return nil
}

func (f *faulty) Read(p []byte) (int, error) {
	if err := f.step(); err != nil {
		return 0, err
	}
	return f.Conn.Read(p)
}

func (f *faulty) Write(p []byte) (int, error) {
	if err := f.step(); err != nil {
		n, _ := f.Conn.Write(p[:len(p)/2])
		return n, err
	}
	return f.Conn.Write(p)
}

// TestBreakEveryCall breaks the Nth read or write of a conversation, for each N.
// Everything must end at once; the bubble checks that no goroutine is left.
func TestBreakEveryCall(t *testing.T) {
	scenario := func(t *testing.T, left int) (calls int, err error) {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			a, b := net.Pipe()
			f := &faulty{Conn: a, left: left}
			client, server := yamux.Client(f), yamux.Server(b)
			var served sync.WaitGroup
			served.Go(func() { echo(server) })
			err = errors.Join(converse(client, noise(300<<10)), converse(client, []byte("x")))
			client.Close()
			server.Close()
			served.Wait()
			calls = f.calls
			if took := time.Since(begin); took > time.Second {
				t.Errorf("it took %v", took)
			}
		})
		return calls, err
	}
	total, err := scenario(t, -1)
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for n := range total {
		if _, err := scenario(t, n); err != nil {
			failed++
		}
	}
	t.Logf("the scenario makes %d reads and writes; breaking them made it fail %d times", total, failed)
	if failed < total/2 {
		t.Error("most of the breaks did no harm: are they reads and writes of the scenario?")
	}
}
