package broker_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/plugin/internal/broker"
	"github.com/tenonrpc/tenon/plugin/internal/yamux"
	"github.com/tenonrpc/tenon/wire"
)

func TestKnock(t *testing.T) {
	for _, plugin := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := newMuxPeer(t, plugin)
			dialled := p.dial(t.Context(), 7)
			p.want("Dial", 7, false)
			before := p.session.NumStreams()
			p.wantNothing("a knock without an answer")
			if n := p.session.NumStreams(); n != before {
				t.Errorf("a stream comes before the answer to the knock")
			}
			p.ack(7, "")
			p.serve(p.accepts())
			if err := <-dialled; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestKnocksTakeTurns dials two ids at once.
func TestKnocksTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newMuxPeer(t, true)
		first := p.dial(t.Context(), 1)
		second := p.dial(t.Context(), 2)
		p.want("the first Dial", 1, false)
		p.wantNothing("the second Dial")
		p.ack(1, "")
		// The stream has come, but has not been accepted yet: a go-plugin host would give
		// it to whichever Accept is next.
		p.wantNothing("the second Dial before the first one's stream is accepted")
		p.serve(p.accepts())
		if err := <-first; err != nil {
			t.Error(err)
		}
		p.want("the second Dial", 2, false)
		p.ack(2, "")
		p.serve(p.accepts())
		if err := <-second; err != nil {
			t.Error(err)
		}
	})
}

// TestUnansweredKnock has an id that is not accepted. It must not delay others, and may
// be accepted later.
func TestUnansweredKnock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newMuxPeer(t, false)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		late := p.dial(ctx, 1)
		other := p.dial(ctx, 2)
		p.want("the first Dial", 1, false)
		time.Sleep(time.Second - 1)
		p.wantNothing("before its time is up")
		time.Sleep(time.Nanosecond)
		p.want("the other Dial", 2, false)
		p.ack(2, "")
		p.serve(p.accepts())
		if err := <-other; err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Second)
		p.want("the first Dial knocks again", 1, false)
		p.ack(1, "")
		p.serve(p.accepts())
		if err := <-late; err != nil {
			t.Error(err)
		}

		ctx, cancel = context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		begin := time.Now()
		never := p.dial(ctx, 3)
		p.want("a Dial in vain", 3, false)
		if err := <-never; !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "dialling id 3: the other side does not accept it") {
			t.Errorf("a Dial in vain: %v", err)
		}
		if took := time.Since(begin); took != 1500*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		// The answer comes all the same. A stream must follow it, or the peer would take
		// the next stream for this one.
		p.ack(3, "")
		st, err := p.session.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := st.Read(make([]byte, 1)); !errors.Is(err, yamux.ErrReset) {
			t.Errorf("the stream that nobody wants: %v", err)
		}
	})
}

// TestEarlyAnswer has a peer whose plugins answer too early.
func TestEarlyAnswer(t *testing.T) {
	for _, plugin := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := newMuxPeer(t, plugin)
			dialled := p.dial(t.Context(), 1)
			p.want("Dial", 1, false)
			begin := time.Now()
			p.control.Send(&wire.ConnInfo{ServiceID: 1, Knock: &wire.Knock{Knock: true, Ack: true}})
			st, err := p.session.Accept()
			if err != nil {
				t.Fatal(err)
			}
			want := 5 * time.Millisecond
			if plugin {
				want = 0
			}
			if waited := time.Since(begin); waited != want {
				t.Errorf("on a plugin: %v; the stream came after %v, want %v", plugin, waited, want)
			}
			p.serve(st)
			if err := <-dialled; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRefusedKnock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newMuxPeer(t, true)
		// A host that is just beginning to accept.
		dialled := p.dial(t.Context(), 1)
		p.want("Dial", 1, false)
		p.ack(1, "no listener for id 1")
		p.wantNothing("at once")
		time.Sleep(20 * time.Millisecond)
		p.want("again", 1, false)
		p.ack(1, "")
		p.serve(p.accepts())
		if err := <-dialled; err != nil {
			t.Error(err)
		}
		// One that refuses for good.
		dialled = p.dial(t.Context(), 2)
		for range 5 {
			p.want("Dial", 2, false)
			p.ack(2, "no\n"+strings.Repeat("x", 1000))
			time.Sleep(20 * time.Millisecond)
		}
		err := <-dialled
		if err == nil || !strings.Contains(err.Error(), `dialling id 2: the other side refuses: "no\nxxx`) || len(err.Error()) > 400 {
			t.Errorf("a refusal: %v", err)
		}
		p.ack(9, "nobody asked")
		p.wantNothing("the answer to no question")
	})
}

func TestAnswer(t *testing.T) {
	for _, plugin := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := newMuxPeer(t, plugin)
			// Never without a listener.
			p.knock(5)
			p.knock(5)
			p.knock(6)
			p.wantNothing("knocks before Accept")
			l, err := p.b.Accept(t.Context(), 5)
			if err != nil {
				t.Fatal(err)
			}
			p.want("Accept", 5, true)
			p.wantNothing("the second of two knocks")
			st := p.open()
			st.Write([]byte("hello"))
			conn, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 5)
			if _, err := io.ReadFull(conn, buf); err != nil || string(buf) != "hello" {
				t.Errorf("%q, %v", buf, err)
			}
			if got := l.Addr().String(); got != "id 5" {
				t.Errorf("the listener's address is %q", got)
			}
			// The id can be dialled again.
			p.knock(5)
			p.want("a second Dial", 5, true)
			p.open()
			if _, err := l.Accept(); err != nil {
				t.Fatal(err)
			}
			if _, err := p.b.Accept(t.Context(), 5); err == nil || !strings.Contains(err.Error(), "accepting id 5: the id is being accepted already") {
				t.Errorf("a second Accept: %v", err)
			}
			l.Close()
			p.knock(5)
			p.wantNothing("a listener that is closed")
		})
	}
}

// TestAnswersTakeTurns has two knocks at once.
func TestAnswersTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newMuxPeer(t, true)
		a, _ := p.b.Accept(t.Context(), 1)
		b, _ := p.b.Accept(t.Context(), 2)
		p.knock(1)
		p.knock(2)
		p.want("the first knock", 1, true)
		p.wantNothing("the second before the first one's stream")
		p.open().Write([]byte("1"))
		p.want("the second knock", 2, true)
		p.open().Write([]byte("2"))
		for want, l := range map[string]net.Listener{"1": a, "2": b} {
			conn, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 1)
			if conn.Read(buf); string(buf) != want {
				t.Errorf("listener %s has the stream %q", want, buf)
			}
		}
		// A stream without a knock is a main connection.
		p.open().Write([]byte("m"))
		conn, err := p.main.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()

		// A peer that gets an answer and opens no stream.
		p.knock(1)
		p.want("a knock", 1, true)
		p.knock(2)
		time.Sleep(5*time.Second - 1)
		p.wantNothing("while the stream may still come")
		time.Sleep(time.Nanosecond)
		p.want("the next knock", 2, true)
		if !strings.Contains(p.log.String(), "answering a knock failed id 1") {
			t.Errorf("the log lacks it: %s", p.log)
		}
	})
}

// TestForgottenKnock has a dialling side that has given up by now.
func TestForgottenKnock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newMuxPeer(t, true)
		p.knock(1)
		time.Sleep(3 * time.Second)
		p.knock(2)
		time.Sleep(2*time.Second + 1)
		p.b.Accept(t.Context(), 1)
		p.wantNothing("a knock of 5 s ago")
		p.b.Accept(t.Context(), 2)
		p.want("a knock of 2 s ago", 2, true)
	})
}

// TestListenerGone closes a listener between the answer and the stream.
func TestListenerGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newMuxPeer(t, true)
		l, _ := p.b.Accept(t.Context(), 1)
		p.knock(1)
		p.want("a knock", 1, true)
		l.Close()
		st := p.open()
		synctest.Wait()
		if _, err := st.Read(make([]byte, 1)); !errors.Is(err, yamux.ErrReset) {
			t.Errorf("the stream for it: %v", err)
		}
		// It does not delay others.
		p.b.Accept(t.Context(), 2)
		p.knock(2)
		p.want("the next knock", 2, true)
		// A connection that waits for Accept ends with its listener.
		st = p.open()
		synctest.Wait()
		p.b.Close()
		synctest.Wait()
		if _, err := st.Read(make([]byte, 1)); !errors.Is(err, yamux.ErrReset) {
			t.Errorf("a connection that was never accepted: %v", err)
		}
	})
}

// TestFullQueue knocks more often than the application accepts.
func TestFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newMuxPeer(t, false)
		l, _ := p.b.Accept(t.Context(), 1)
		for range 16 {
			p.knock(1)
			p.want("a knock", 1, true)
			p.open()
		}
		p.knock(1)
		p.wantNothing("a knock at a full queue")
		if _, err := l.Accept(); err != nil {
			t.Fatal(err)
		}
		p.want("a knock when there is room", 1, true)
	})
}

// TestUnannounced has a plugin open a stream without a knock.
func TestUnannounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newMuxPeer(t, false)
		st := p.open()
		synctest.Wait()
		if _, err := st.Read(make([]byte, 1)); !errors.Is(err, yamux.ErrReset) {
			t.Errorf("a stream without a knock: %v", err)
		}
		if !strings.Contains(p.log.String(), "has not announced; it is refused") {
			t.Errorf("the log lacks it: %s", p.log)
		}
	})
}

// TestManyKnocks floods a broker with knocks, and with messages that are not knocks.
func TestManyKnocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newMuxPeer(t, false)
		for id := range uint32(1025) {
			p.knock(id)
		}
		p.control.Send(&wire.ConnInfo{ServiceID: 1, Network: "unix", Address: "/s"})
		p.control.Send(&wire.ConnInfo{ServiceID: 1, Knock: &wire.Knock{}})
		p.control.Send(&wire.ConnInfo{ServiceID: 1, Knock: &wire.Knock{Ack: true}})
		p.wantNothing("knocks nobody accepts")
		for _, words := range []string{"the broker forgets a knock that nobody answered id 0", "ignores an address", "ignores a message that is neither"} {
			if !strings.Contains(p.log.String(), words) {
				t.Errorf("the log lacks %q", words)
			}
		}
		p.b.Accept(t.Context(), 0)
		p.wantNothing("the knock that was forgotten")
		p.b.Accept(t.Context(), 1024)
		p.want("the last knock", 1024, true)
	})
}

func TestMuxEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newMuxPeer(t, false)
		first, second := p.dial(t.Context(), 1), p.dial(t.Context(), 2)
		p.want("Dial", 1, false)
		p.b.Hangup()
		for _, dialled := range []<-chan error{first, second} {
			if err := <-dialled; !errors.Is(err, broker.ErrClosed) {
				t.Errorf("Dial when the broker hangs up: %v", err)
			}
		}
	})
	// The connection is lost while one Dial knocks, and another waits.
	synctest.Test(t, func(t *testing.T) {
		p := newMuxPeer(t, false)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		first, second := p.dial(ctx, 1), p.dial(ctx, 2)
		p.want("Dial", 1, false)
		p.session.Close()
		if err := <-second; err == nil || !strings.Contains(err.Error(), "closed the connection") {
			t.Errorf("Dial when the connection breaks: %v", err)
		}
		p.ack(1, "")
		if err := <-first; err == nil {
			t.Error("Dial succeeds without a connection")
		}
	})
}
