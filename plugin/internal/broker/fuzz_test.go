package broker_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/plugin/internal/broker"
	"github.com/tenonrpc/tenon/wire"
)

// hostile is the control stream of a peer that sends anything and reads everything.
type hostile struct {
	messages []*wire.ConnInfo
	ended    <-chan struct{}
}

func (h *hostile) Send(*wire.ConnInfo) error { return nil }

func (h *hostile) Recv() (*wire.ConnInfo, error) {
	if len(h.messages) == 0 {
		<-h.ended
		return nil, io.EOF
	}
	m := h.messages[0]
	h.messages = h.messages[1:]
	return m, nil
}

// messageFrom takes a message from the start of a script of pairs of bytes.
func messageFrom(b []byte) (*wire.ConnInfo, []byte) {
	m := &wire.ConnInfo{ServiceID: uint32(b[1] % 8)}
	if b[0]&1 != 0 {
		m.Network, m.Address = "unix", "/silent"
	}
	if b[0]&2 != 0 {
		m.Network = string(b[1:2])
	}
	if b[0]&4 != 0 {
		m.Knock = &wire.Knock{Knock: b[0]&8 != 0, Ack: b[0]&16 != 0}
		if b[0]&32 != 0 {
			m.Knock.Error = "no"
		}
	}
	return m, b[2:]
}

// FuzzBroker has a peer send any announcements, knocks and answers while the application
// accepts and dials the same ids. Nothing may panic, and everything that waits must end
// with the broker.
func FuzzBroker(f *testing.F) {
	for _, plugin := range []bool{false, true} {
		for _, mux := range []bool{false, true} {
			f.Add([]byte{1, 1, 1, 1, 4 | 8, 1, 4 | 16, 1, 4 | 16 | 32, 2, 2, 3, 0, 0}, plugin, mux)
			f.Add([]byte{4 | 8, 1, 4 | 8, 1, 4 | 8, 2, 4 | 8 | 16, 1, 4, 1}, plugin, mux)
		}
	}
	f.Fuzz(func(t *testing.T, script []byte, plugin, mux bool) {
		synctest.Test(t, func(t *testing.T) {
			cfg := broker.Config{Listen: memListen, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) { return nil, errors.New("nobody is there") }}
			if mux {
				ours, theirs := net.Pipe()
				defer theirs.Close()
				go io.Copy(io.Discard, theirs)
				if plugin {
					cfg.Mux = broker.NewPluginMux(nil)
				} else {
					cfg.Mux = broker.NewHostMux(ours, nil)
				}
				defer ours.Close()
				defer cfg.Mux.Close()
			}
			b := broker.New(&cfg)
			over := make(chan struct{})
			peer := &hostile{ended: over}
			for rest := script[:min(len(script), 1000)&^1]; len(rest) > 0; {
				var m *wire.ConnInfo
				m, rest = messageFrom(rest)
				peer.messages = append(peer.messages, m)
			}
			var all sync.WaitGroup
			all.Go(func() {
				if err := b.Run(peer); err != nil {
					t.Errorf("Run: %v", err)
				}
			})
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			for id := range uint32(4) {
				all.Go(func() {
					if l, err := b.Accept(ctx, id); err == nil {
						all.Go(func() { l.Accept() })
						<-ctx.Done()
						l.Close()
					}
				})
				all.Go(func() {
					if cc, err := b.Dial(ctx, id); err == nil {
						cc.Close()
					}
				})
			}
			synctest.Wait()
			close(over)
			b.Close()
			cancel()
			all.Wait()
		})
	})
}
