package h2grpc_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// TestMixedLoad: many callers with calls of every kind and size, which come and go
// over a minute, so that there are few streams and many in turn. Some are cancelled
// half-way. All others arrive complete.
func TestMixedLoad(t *testing.T) {
	for _, secure := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			callers := 150
			if testing.Short() || raceEnabled {
				callers = 50
			}
			cc, _ := start(t, setup{tls: secure, service: &testService{unary: echo, stream: echoStream}})
			var wg sync.WaitGroup
			for i := range callers {
				rnd := rand.New(rand.NewPCG(uint64(i), 7))
				wg.Go(func() {
					for j := range 8 {
						time.Sleep(time.Duration(rnd.IntN(8000)) * time.Millisecond)
						mixedCall(t, cc, rnd, fmt.Sprintf("%d/%d ", i, j))
					}
				})
			}
			wg.Wait()
			if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); err != nil {
				t.Error(err)
			}
		})
	}
}

func mixedCall(t *testing.T, cc *h2grpc.ClientConn, rnd *rand.Rand, name string) {
	body := func(i int) raw {
		size := []int{0, 10, 1000, 20_000, 300_000}[rnd.IntN(5)]
		return raw(name + fmt.Sprint(i, " ") + string(bytes.Repeat([]byte{byte(i)}, rnd.IntN(size+1))))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if rnd.IntN(2) == 0 {
		in := body(0)
		var out raw
		if err := cc.Invoke(ctx, unaryMethod, &in, &out); err != nil || !bytes.Equal(in, out) {
			t.Errorf("%s: %d bytes came back as %d, %v", name, len(in), len(out), err)
		}
		return
	}
	s, err := cc.NewStream(ctx, &bidiDesc, bidiMethod)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	giveUp := rnd.IntN(20)
	sent := make(chan raw, 10)
	var messages []raw
	for i := range cap(sent) {
		messages = append(messages, body(i))
	}
	slow := time.Duration(rnd.IntN(500)) * time.Millisecond
	var sender sync.WaitGroup
	sender.Go(func() {
		defer close(sent)
		for i, m := range messages {
			if i == giveUp {
				cancel()
				return
			}
			if err := s.SendMsg(&m); err != nil {
				return // RecvMsg returns the reason
			}
			sent <- m
		}
		s.CloseSend()
	})
	got := 0
	for m := range sent {
		var out raw
		if err = s.RecvMsg(&out); err != nil {
			break
		}
		if !bytes.Equal(m, out) {
			t.Errorf("%s: message %d of %d bytes came back as %d", name, got, len(m), len(out))
		}
		got++
		<-time.After(slow)
	}
	if err == nil {
		err = s.RecvMsg(new(raw))
	}
	sender.Wait()
	if cancelled := giveUp < 10; cancelled != (status.Code(err) == codes.Canceled) || (!cancelled && (err != io.EOF || got != 10)) {
		t.Errorf("%s: cancelled %t, %d messages, %v", name, cancelled, got, err)
	}
}
