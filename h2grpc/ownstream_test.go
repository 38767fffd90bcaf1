package h2grpc_test

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/internal/fastpath"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// ownRounds is more than the number of messages that go to and fro on a stream before
// it reads its own.
const ownRounds = 17

// receipt is the result of RecvMsg.
type receipt struct {
	text string
	code codes.Code
}

// receive calls RecvMsg in the background.
func receive(s interface{ RecvMsg(any) error }) <-chan receipt {
	got := make(chan receipt, 1)
	go func() {
		var m raw
		err := s.RecvMsg(&m)
		if err == io.EOF {
			err = nil
			m = raw("EOF")
		}
		got <- receipt{string(m), status.Code(err)}
	}()
	synctest.Wait()
	return got
}

// wantReceipt fails unless RecvMsg has returned what it should.
func wantReceipt(t *testing.T, got <-chan receipt, text string, code codes.Code) {
	t.Helper()
	synctest.Wait()
	select {
	case r := <-got:
		if r != (receipt{text, code}) {
			t.Errorf("RecvMsg: %+v, want %q, %v", r, text, code)
		}
	default:
		t.Errorf("nothing has come where %q, %v is due", text, code)
	}
}

// wantOwn fails unless n of the waiting consumers read for themselves.
func wantOwn(t *testing.T, what string, n int) {
	t.Helper()
	synctest.Wait()
	if got := ownReaders(); got != n {
		t.Errorf("%s: %d read for themselves, want %d", what, got, n)
	}
}

// ownStream returns a script whose client has the stream 1, which will read its next
// message itself.
func ownStream(t *testing.T, ctx context.Context) (*script, *h2grpc.ClientConn, h2grpc.ClientStream) {
	t.Helper()
	p, cc := scriptServer(t, h2grpc.ClientConfig{})
	s, err := cc.NewStream(ctx, &bidiDesc, bidiMethod)
	if err != nil {
		t.Fatal(err)
	}
	p.want("a stream", "HEADERS 1 …")
	p.headers(1, 0, response()...)
	rounds(t, p, s, 1)
	return p, cc, s
}

// rounds exchanges messages on a stream, none of which it reads for itself before the
// last.
func rounds(t *testing.T, p *script, s h2grpc.ClientStream, id uint32) {
	t.Helper()
	for i := range ownRounds {
		if err := s.SendMsg(msg("x")); err != nil {
			t.Fatal(err)
		}
		p.want("a message", fmt.Sprintf("DATA %d …", id))
		got := receive(s)
		wantOwn(t, fmt.Sprintf("round %d", i), i*2/(2*ownRounds-2)) // the last one
		p.data(id, 0, grpcMsg("y"))
		wantReceipt(t, got, "y", codes.OK)
	}
}

// TestStreamsReadTheirOwnMessages: a stream on which messages go to and fro does, at
// either end, and not after a pause or when messages go one way only.
func TestStreamsReadTheirOwnMessages(t *testing.T) {
	needs(t, fastpath.OwnReading)
	synctest.Test(t, func(t *testing.T) {
		p, _, s := ownStream(t, t.Context())
		s.SendMsg(msg("x"))
		p.want("a message", "DATA 1 …")
		advance(mostDelay) // it has not asked for long
		got := receive(s)
		wantOwn(t, "after a pause", 0)
		p.data(1, 0, grpcMsg("y"))
		wantReceipt(t, got, "y", codes.OK)
		for i := range 3 * ownRounds {
			got := receive(s)
			wantOwn(t, "one way", 0)
			p.data(1, 0, grpcMsg(fmt.Sprint(i)))
			wantReceipt(t, got, fmt.Sprint(i), codes.OK)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		p := ownHandler(t, echoStream)
		p.data(1, endStream, "")
		p.want("the end", "HEADERS 1 … END_STREAM")
		wantOwn(t, "after the end", 0)
	})
}

// ownHandler returns a script that is the client of a server whose handler of the
// stream 1, which is an echo at first, reads its next message itself.
func ownHandler(t *testing.T, handler func(h2grpc.ServerStream) error) *script {
	t.Helper()
	p, _ := scriptClient(t, setup{service: &testService{unary: echo, stream: handler}})
	p.headers(1, 0, request(bidiMethod)...)
	for i := range ownRounds {
		p.data(1, 0, grpcMsg("x"))
		if i == 0 {
			p.want("the first answer", "HEADERS 1 …", "DATA 1 …")
		} else {
			p.want("an answer", "DATA 1 …")
		}
	}
	wantOwn(t, "a handler", 1)
	return p
}

// TestStreamThatReadsIsStopped: a stream that reads ends soon after its context,
// wherever a message is cut off, and the connection remains usable.
func TestStreamThatReadsIsStopped(t *testing.T) {
	needs(t, fastpath.OwnReading)
	for cut := range len(grpcMsg("y")) + 9 {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			p, cc, s := ownStream(t, ctx)
			s.SendMsg(msg("x"))
			p.want("a message", "DATA 1 …")
			got := receive(s)
			wantOwn(t, "before", 1)
			frame := recorded(func(p *script) { p.data(1, 0, grpcMsg("y")) })
			p.bytes(frame[:cut])
			cancel()
			advance(mostDelay)
			wantReceipt(t, got, "", codes.Canceled)
			p.bytes(frame[cut:])
			p.want("a stream that was cancelled", "RST_STREAM 1 CANCEL")
			call(t, p, cc, 3, false)
		})
	}
	for name, c := range map[string]struct {
		head []string
		end  func(*script)
		want codes.Code
	}{
		"reset":    {nil, func(p *script) { p.reset(1, http2.ErrCodeCancel) }, codes.Canceled},
		"deadline": {[]string{"grpc-timeout=1S"}, func(*script) { advance(time.Second + mostDelay) }, codes.DeadlineExceeded},
		"lost":     {nil, func(p *script) { p.nc.Close() }, codes.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan error, 1)
				p, _ := scriptClient(t, setup{service: &testService{unary: echo, stream: func(s h2grpc.ServerStream) error {
					err := echoStream(s)
					ended <- err
					return err
				}}})
				p.headers(1, 0, request(bidiMethod, c.head...)...)
				for range ownRounds {
					p.data(1, 0, grpcMsg("x"))
					p.take()
				}
				wantOwn(t, "a handler", 1)
				c.end(p)
				synctest.Wait()
				select {
				case err := <-ended:
					if status.Code(err) != c.want {
						t.Errorf("the handler's stream ended with %v, want %v", err, c.want)
					}
				default:
					t.Error("the handler's stream goes on")
				}
			})
		})
	}
}

// TestBesideStreamThatReads: frames that are not for the stream that reads reach
// their destination, and soon if nothing is reading at the moment.
func TestBesideStreamThatReads(t *testing.T) {
	needs(t, fastpath.OwnReading)
	for _, reads := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			p, cc := scriptServer(t, h2grpc.ClientConfig{})
			var streams [2]h2grpc.ClientStream
			for i := range streams {
				streams[i], _ = cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
				id := uint32(1 + 2*i)
				p.want("a stream", fmt.Sprintf("HEADERS %d …", id))
				p.headers(id, 0, response()...)
			}
			other := receive(streams[0])
			rounds(t, p, streams[1], 3)
			var own <-chan receipt
			if reads {
				own = receive(streams[1])
				wantOwn(t, "beside another", 1)
			}
			begun := time.Now()
			p.data(1, 0, grpcMsg("other"))
			wantReceipt(t, other, "other", codes.OK)
			if d := time.Since(begun); d > mostDelay || reads && d > 0 {
				t.Errorf("data of another stream, while it reads (%v), took %v", reads, d)
			}
			p.ping("12345678")
			p.want("PING", `PING ack "12345678"`)
			done := begin(t, p, cc, t.Context(), 5)
			p.bytes(answer(p, 5, "z"))
			if r := <-done; r.reply != "z" {
				t.Errorf("a call beside: %+v", r)
			}
			if reads {
				p.data(3, 0, grpcMsg("own"))
				wantReceipt(t, own, "own", codes.OK)
			}
			own = receive(streams[1])
			wantOwn(t, "after something else", 0)
			p.data(3, 0, grpcMsg(strings.Repeat("y", 100<<10)))
			wantReceipt(t, own, strings.Repeat("y", 100<<10), codes.OK)
		})
	}
	synctest.Test(t, func(t *testing.T) { // one that nobody has sent anything on
		p, cc, _ := ownStream(t, t.Context())
		other, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
		if err != nil {
			t.Fatal(err)
		}
		p.want("another stream", "HEADERS 3 …")
		receive(other)
		wantOwn(t, "another stream", 0)
	})
	synctest.Test(t, func(t *testing.T) { // a server
		p := ownHandler(t, echoStream)
		p.headers(3, 0, request(unaryMethod)...)
		p.data(3, endStream, grpcMsg("call"))
		p.want("a call beside a handler that reads", "HEADERS 3 …", "DATA 3 …", "HEADERS 3 … END_STREAM")
		wantOwn(t, "after a call", 0)
		p.data(1, 0, grpcMsg("x"))
		p.want("the handler goes on", "DATA 1 …")
	})
}

// TestCallWhileNobodyReads: a call that begins while the only stream's handler is
// working waits no longer than allowed, and not at all when the handler has returned.
func TestCallWhileNobodyReads(t *testing.T) {
	needs(t, fastpath.OwnReading)
	for name, work := range map[string]time.Duration{"works": time.Second, "returns": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := ownHandler(t, func(s h2grpc.ServerStream) error {
					for {
						m := new(raw)
						if err := s.RecvMsg(m); err != nil {
							return err
						}
						if string(*m) == "last" {
							time.Sleep(work)
							return nil
						}
						s.SendMsg(m)
					}
				})
				p.data(1, 0, grpcMsg("last"))
				if work > 0 {
					p.want("no end yet")
				} else {
					p.want("the end", "HEADERS 1 … END_STREAM", "RST_STREAM 1 NO_ERROR")
				}
				begun := time.Now()
				p.headers(3, 0, request(unaryMethod)...)
				p.data(3, endStream, grpcMsg("call"))
				p.want("a call", "HEADERS 3 …", "DATA 3 …", "HEADERS 3 … END_STREAM")
				if d := time.Since(begun); d > min(work, mostDelay) {
					t.Errorf("a call took %v", d)
				}
			})
		})
	}
}

// TestStreamThatReadsMeetsFaults: a fault while a stream reads has the same outcome
// as otherwise.
func TestStreamThatReadsMeetsFaults(t *testing.T) {
	needs(t, fastpath.OwnReading)
	for _, c := range []struct {
		name   string
		send   func(*script)
		text   string
		code   codes.Code
		goAway string
	}{
		{"the end", func(p *script) { p.headers(1, endStream, "grpc-status=0") }, "EOF", codes.OK, ""},
		{"a status", func(p *script) { p.headers(1, endStream, "grpc-status=5") }, "", codes.NotFound, ""},
		{"connection lost", func(p *script) { p.nc.Close() }, "", codes.Unavailable, ""},
		{"broken frame", func(p *script) { p.data(0, 0, "x") }, "", codes.Unavailable, `GOAWAY 0 PROTOCOL_ERROR "DATA for stream 0"`},
		{"GOAWAY", func(p *script) { p.goAway(0, http2.ErrCodeNo, "bye") }, "", codes.Unavailable, `GOAWAY 0 NO_ERROR ""`},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, _, s := ownStream(t, t.Context())
				s.SendMsg(msg("x"))
				p.want("a message", "DATA 1 …")
				got := receive(s)
				wantOwn(t, "before", 1)
				c.send(p)
				if wantReceipt(t, got, c.text, c.code); c.goAway != "" {
					p.wantEnd(c.name, c.goAway)
				}
			})
		})
	}
}

// TestStreamsThatReadOverSockets: streams read for themselves over sockets and TLS,
// notice their deadlines, and occasionally share their connection with calls.
func TestStreamsThatReadOverSockets(t *testing.T) {
	needs(t, fastpath.OwnReading, fastpath.TryWrite)
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS: %v", secure), func(t *testing.T) {
			var own atomic.Bool
			cc, _ := start(t, setup{tls: secure, listen: listenSocket, service: &testService{unary: echo, stream: func(s h2grpc.ServerStream) error {
				for {
					m := new(raw)
					if err := s.RecvMsg(m); err != nil {
						return err
					}
					if string(*m) == "silence" {
						continue
					}
					if string(*m) == "look" && ownReaders() > 0 {
						own.Store(true) // the client's
					}
					if err := s.SendMsg(m); err != nil {
						return err
					}
				}
			}}})
			for round := range 20 {
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				s, err := cc.NewStream(ctx, &bidiDesc, bidiMethod)
				if err != nil {
					t.Fatal(err)
				}
				for i := range 3 * ownRounds {
					text := "x"
					if i%ownRounds == ownRounds-1 {
						text = "look"
					}
					if err := s.SendMsg(msg(text)); err != nil {
						break
					}
					if err := s.RecvMsg(new(raw)); err != nil {
						break // a slow machine
					}
				}
				s.SendMsg(msg("silence"))
				if round%2 == 0 {
					if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); err != nil {
						t.Error(err)
					}
				}
				if err := s.RecvMsg(new(raw)); status.Code(err) != codes.DeadlineExceeded {
					t.Errorf("a stream whose deadline has passed: %v", err)
				}
				cancel()
			}
			// Where a write is not tried at once (internal/h2/trywrite_unix.go), none does.
			if !own.Load() && runtime.GOOS != "windows" {
				t.Error("no stream has read for itself")
			}
		})
	}
}
