package broker_test

import (
	"flag"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tenonrpc/tenon/plugin/internal/broker"
	"github.com/tenonrpc/tenon/wire"
)

var flood = flag.Int("flood", 100_000, "how many announcements and knocks a hostile peer sends in tests")

// floodGrowth is how much memory a flood may leave behind, in bytes.
const floodGrowth = 4 << 20

// flooding is a control stream of a peer that sends only nonsense.
type flooding struct {
	left  int
	knock bool
	done  chan struct{} // closed when all is received
}

func (f *flooding) Send(*wire.ConnInfo) error { return nil }

func (f *flooding) Recv() (*wire.ConnInfo, error) {
	if f.left--; f.left < 0 {
		close(f.done)
		return nil, io.EOF
	}
	info := &wire.ConnInfo{ServiceID: rand.Uint32(), Network: "unix", Address: strings.Repeat("a", 200)}
	if f.knock {
		info.Knock = &wire.Knock{Knock: true}
		if rand.IntN(4) == 0 { // a refusal of what nobody asked for
			info.Knock.Ack, info.Knock.Error = true, strings.Repeat("e", 100)
		}
	}
	return info, nil
}

// Announcements with random ids leave no more than the limit behind, however many there
// are, and so do unrequested knocks and refusals.
func TestFloods(t *testing.T) {
	for name, knock := range map[string]bool{"announcements": false, "knocks": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var cfg broker.Config
				if knock {
					cfg.Mux = broker.NewPluginMux(nil)
					defer cfg.Mux.Close()
				}
				b := broker.New(&cfg)
				defer b.Close()
				var m runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&m)
				before := m.HeapAlloc
				f := &flooding{left: *flood, knock: knock, done: make(chan struct{})}
				if err := b.Run(f); err != nil {
					t.Error(err)
				}
				<-f.done
				runtime.GC()
				runtime.ReadMemStats(&m)
				if m.HeapAlloc > before+floodGrowth {
					t.Errorf("%d messages left %d bytes behind", *flood, m.HeapAlloc-before)
				}
				runtime.KeepAlive(b)
			})
		})
	}
}
