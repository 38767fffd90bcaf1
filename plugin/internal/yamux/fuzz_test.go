package yamux_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/plugin/internal/yamux"
)

// FuzzSession sends a session whatever a peer may send. It must end when the peer does,
// with all its goroutines, and what it writes itself must be valid.
func FuzzSession(f *testing.F) {
	frame := func(typ yamux.Type, flags uint16, id, length uint32, data string) []byte {
		return append(yamux.Header{Type: typ, Flags: flags, StreamID: id, Length: length}.Append(nil), data...)
	}
	whole := bytes.Join([][]byte{
		frame(yamux.WindowUpdate, syn, 1, 0, ""),
		frame(yamux.Data, 0, 1, 5, "hello"),
		frame(yamux.Data, syn|fin, 3, 5, "world"),
		frame(yamux.Ping, syn, 0, 7, ""),
		frame(yamux.Ping, ack, 0, 1, ""),
		frame(yamux.WindowUpdate, ack, 2, 100, ""),
		frame(yamux.Data, 0, 2, 3, "abc"),
		frame(yamux.WindowUpdate, fin, 2, 0, ""),
		frame(yamux.WindowUpdate, rst, 1, 0, ""),
		frame(yamux.Data, 0, 1, 4, "late"),
		frame(yamux.GoAway, 0, 0, 0, ""),
	}, nil)
	for i := 0; i < len(whole); i += 5 {
		f.Add(whole[:i])
		f.Add(whole[len(whole)-i:])
	}
	f.Add(whole)
	f.Add(frame(yamux.Data, syn, 1, 1<<32-1, "x"))
	f.Add(frame(yamux.WindowUpdate, syn, 1, 1<<32-1, ""))
	f.Fuzz(func(t *testing.T, in []byte) {
		a, b := net.Pipe()
		s := yamux.Server(a)
		var all sync.WaitGroup
		all.Go(func() { echo(s) })
		if st, err := s.Open(t.Context()); err == nil {
			all.Go(func() {
				st.SetDeadline(time.Now().Add(time.Minute))
				io.Copy(io.Discard, st)
				st.Close()
			})
		}
		out := make(chan error, 1)
		go func() { out <- checkFrames(b, opens(in)) }()
		b.SetDeadline(time.Now().Add(10 * time.Second))
		b.Write(in)
		// The session reads on, unless what it read has ended it.
		b.Close()
		select {
		case <-s.Done():
		case <-time.After(10 * time.Second):
			t.Fatal("the session does not end with its connection")
		}
		s.Close()
		all.Wait()
		if err := <-out; err != nil {
			t.Fatal(err)
		}
		if n := s.NumStreams(); n != 0 {
			t.Fatalf("%d streams after the end", n)
		}
	})
}

// checkFrames reads what a session writes, and returns what is wrong with it. A peer may
// use an id again when its stream is gone; an ACK begins a new one.
func checkFrames(r io.Reader, opened map[uint32]int) error {
	br := bufio.NewReader(r)
	acks, done := map[uint32]int{}, map[uint32]bool{}
	left := false
	for {
		h, err := readFrame(br)
		if err != nil {
			return nil
		}
		switch {
		case left:
			return fmt.Errorf("%+v after going away", h)
		case h.Flags&^(syn|ack|fin|rst) != 0:
			return fmt.Errorf("%+v has unknown flags", h)
		case h.Type == yamux.Ping:
			continue
		case h.Type == yamux.GoAway:
			left = true
			continue
		case h.StreamID == 0:
			return fmt.Errorf("%+v is about stream 0", h)
		}
		if h.Flags&ack != 0 {
			done[h.StreamID] = false
			if acks[h.StreamID]++; acks[h.StreamID] > opened[h.StreamID] {
				return fmt.Errorf("%+v: %d ACKs for %d SYNs", h, acks[h.StreamID], opened[h.StreamID])
			}
		}
		if done[h.StreamID] && h.Type == yamux.Data {
			return fmt.Errorf("%+v after FIN or RST", h)
		}
		done[h.StreamID] = done[h.StreamID] || h.Flags&(fin|rst) != 0
	}
}

// opens counts the SYNs in what a peer sends.
func opens(in []byte) map[uint32]int {
	br := bufio.NewReader(bytes.NewReader(in))
	opened := map[uint32]int{}
	for {
		h, err := readFrame(br)
		if err != nil && err != errBody {
			return opened
		}
		if h.Flags&syn != 0 {
			opened[h.StreamID]++
		}
	}
}

var errBody = errors.New("the frame's data is incomplete")

func readFrame(br *bufio.Reader) (yamux.Header, error) {
	var b [yamux.HeaderLen]byte
	if _, err := io.ReadFull(br, b[:]); err != nil {
		return yamux.Header{}, err
	}
	h, err := yamux.ParseHeader(b[:])
	if err == nil && h.Type == yamux.Data {
		if _, err := io.CopyN(io.Discard, br, int64(h.Length)); err != nil {
			return h, errBody
		}
	}
	return h, err
}
