//go:build linux

package attack_test

import (
	"bufio"
	"encoding/json"
	"io"
	"maps"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
)

// options configures a process: it is JSON in the first line of its input.
type options struct {
	Socket     string // the server listens here; the client calls the hostile peer here
	Good       string // where the client finds an honest server
	MaxMessage int
	// MaxHeaderList is a client's MaxHeaderListSize.
	MaxHeaderList int
	MaxStreams    uint32
	Handshake     time.Duration
	Stall         time.Duration
	MinPing       time.Duration
	Gzip          bool
	Calls         string // what the client calls: a method's name
	Workers       int    // how many at once
	Timeout       time.Duration
	Reply         int   // bytes of a Big reply, a message of a Download, or a request
	Unsized       bool  // such messages have no Size
	Memory        int64 // of all connections; 0: the default
}

// memory is the account that all of a victim's connections share.
func (o options) memory() *h2grpc.MessageMemory {
	if o.Memory == 0 {
		return nil
	}
	return h2grpc.NewMessageMemory(o.Memory)
}

// report is what a process reports about itself.
type report struct {
	Live, MaxLive int // handlers, or a client's calls
	Conns         int // connections that are served
	Goroutines    int
	FDs           int
	Heap          uint64
	Ended         []string // how connections ended: the errors of ServeConn
	Statuses      map[string]int
	Probes        int           // well-behaved calls
	Longest       time.Duration // the longest of them
	High          time.Duration // 99 of 100 are faster
	Failed        string        // why one failed
}

// tally counts handlers and calls. Guarded by mu.
type tally struct {
	mu            sync.Mutex
	live, maxLive int
	conns         int
	ended         []string
	statuses      map[string]int
	probes        []time.Duration
	since         time.Time // when the call began that is being made
	failed        string
	release       chan struct{} // closed when stubborn handlers may go
	request       *sized        // what a client sends; set once
}

func newTally() *tally {
	return &tally{statuses: map[string]int{}, release: make(chan struct{})}
}

func (t *tally) enter() {
	t.mu.Lock()
	t.live++
	t.maxLive = max(t.maxLive, t.live)
	t.mu.Unlock()
}

func (t *tally) leave() {
	t.mu.Lock()
	t.live--
	t.mu.Unlock()
}

// stubborn returns what a handler waits for that ignores its context.
func (t *tally) stubborn() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.release
}

func (t *tally) let() {
	t.mu.Lock()
	close(t.release)
	t.release = make(chan struct{})
	t.mu.Unlock()
}

func (t *tally) report() report {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := report{
		Live: t.live, MaxLive: t.maxLive, Conns: t.conns, Ended: slices.Clone(t.ended),
		Statuses: maps.Clone(t.statuses), Probes: len(t.probes), Failed: t.failed, Goroutines: runtime.NumGoroutine(),
	}
	if dir, err := os.ReadDir("/proc/self/fd"); err == nil {
		r.FDs = len(dir)
	}
	if !t.since.IsZero() {
		r.Longest = time.Since(t.since)
	}
	if n := len(t.probes); n > 0 {
		sorted := slices.Sorted(slices.Values(t.probes))
		r.Longest, r.High = max(r.Longest, sorted[n-1]), sorted[n*99/100]
	}
	return r
}

// obey reads commands, one a line, until the input ends, and answers each with a
// report.
func (t *tally) obey(in *bufio.Reader, begin func()) error {
	out := json.NewEncoder(os.Stdout)
	for {
		line, err := in.ReadString('\n')
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		var heap runtime.MemStats
		switch line {
		case "settle\n": // memory that starting took is given back
			debug.FreeOSMemory()
			debug.FreeOSMemory() // pools survive one collection
			t.mu.Lock()
			t.maxLive, t.probes, t.failed = t.live, nil, ""
			t.ended, t.statuses = nil, map[string]int{}
			t.mu.Unlock()
			runtime.ReadMemStats(&heap)
		case "forget\n": // the well-behaved calls so far
			t.mu.Lock()
			t.probes = nil
			t.mu.Unlock()
		case "collect\n":
			runtime.GC()
			runtime.GC()
			runtime.ReadMemStats(&heap)
		case "release\n":
			t.let()
		case "begin\n":
			begin()
		}
		r := t.report()
		r.Heap = heap.HeapAlloc
		if err := out.Encode(r); err != nil {
			return err
		}
	}
}

// readOptions reads a process's first line.
func readOptions() (options, *bufio.Reader, error) {
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return options{}, nil, err
	}
	var o options
	err = json.Unmarshal(line, &o)
	return o, in, err
}

// ready reports that the process can be used.
func ready() { os.Stdout.WriteString("ready\n") }

// listen listens on a unix socket that ends with the process's directory.
func listen(path string) (*net.UnixListener, error) {
	return net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
}
