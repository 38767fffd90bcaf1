//go:build linux

package attack_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
)

// row is one attack.
type row struct {
	name string // what the peer does
	want string // what the victim answers
	// limits configures the victim. For a client, Calls names what it calls.
	limits options
	slow   bool // it waits for a time-out, beside the others
	quick  bool // it is also run without -attack
	// bear is how long the answer may take; zero means defaultBear.
	bear time.Duration
	// grows is how much more memory than maxGrowth the row may use: the sum of the
	// budgets that it uses up, if that is more.
	grows  int
	attack func(*attack)
}

// defaultBear is how long the victim may take to answer. It is watched for watchTime
// after that, or for holdTime if it is to tolerate the attack.
const (
	defaultBear = 5 * time.Second
	watchTime   = 100 * time.Millisecond
	holdTime    = 300 * time.Millisecond
)

// calmTime is how long, before an attack and after it, calls are timed without an
// attack, and patience how long all rows together may wait for a calm moment.
const (
	calmTime = 100 * time.Millisecond
	patience = time.Minute
)

// awaited is how much of patience is spent.
var awaited atomic.Int64

// attack is a row that is being run.
type attack struct {
	row    *row
	client bool // the victim is a client
	dir    string
	victim *child
	lis    net.Listener

	mu       sync.Mutex
	peers    []*peer
	problems []string
	finished chan struct{}
	finish   sync.Once
}

// result is the result of one run of a row.
type result struct {
	row         *row
	side        string
	answer      string
	unsaid      bool // a connection was closed without GOAWAY
	handlers    int
	limit       int
	growth      int
	longest     time.Duration
	high        time.Duration
	calm        time.Duration // the longest call while nobody attacked
	probes      int
	freed       time.Duration
	notFreed    string
	ended       []string
	problems    []string
	tries       int
	failed      string // which bar was missed, if one was
	connections int
	took        time.Duration
}

// The bars; each returns a text for what is wrong, or "".
func (r *result) wrong() string {
	switch {
	case len(r.problems) > 0:
		return strings.Join(r.problems, "; ")
	case r.answer != r.row.want:
		return fmt.Sprintf("answered %q, want %q", r.answer, r.row.want)
	case r.unsaid:
		return "closed a connection without GOAWAY"
	case r.limit > 0 && r.handlers > r.limit:
		return fmt.Sprintf("%d handlers were alive, the limit is %d", r.handlers, r.limit)
	case r.notFreed != "":
		return "not freed: " + r.notFreed
	}
	return ""
}

// busy reports that the machine itself, without an attack, uses up so much of the bar
// that the run proves nothing about the victim.
func (r *result) busy() bool { return r.calm > maxCalm }

// noisy is wrong for the bars that other work on the machine may affect.
func (r *result) noisy() string {
	switch {
	case r.growth > maxGrowth+r.row.grows:
		return fmt.Sprintf("grew by %s", mib(r.growth))
	case r.longest > maxWait && !r.row.slow, r.high > maxWait:
		return fmt.Sprintf("a call waited %v", r.longest.Round(time.Millisecond))
	case r.freed > maxFree:
		return fmt.Sprintf("it took %v until all was free", r.freed.Round(time.Millisecond))
	}
	return ""
}

func mib(n int) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// problem records that the attack could not be made.
func (a *attack) problem(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.problems) < 5 {
		a.problems = append(a.problems, fmt.Sprintf(format, args...))
	}
}

// dial connects to the victim and sends nothing. The victim's answers are read.
func (a *attack) dial() *peer {
	p := a.dialDeaf()
	go p.listen()
	return p
}

// dialDeaf is dial by a peer that reads nothing.
func (a *attack) dialDeaf() *peer {
	nc, err := net.Dial("unix", filepath.Join(a.dir, "victim"))
	if err != nil {
		a.problem("connecting: %v", err)
		nc, _ = net.Pipe()
		nc.Close()
	}
	return a.add(newPeer(nc))
}

func (a *attack) add(p *peer) *peer {
	a.mu.Lock()
	a.peers = append(a.peers, p)
	a.mu.Unlock()
	return p
}

// hello connects and exchanges the prefaces.
func (a *attack) hello(list ...http2.Setting) *peer {
	p := a.dial()
	p.write(prefaces(list...))
	if !until(defaultBear, func() bool { return p.is(func() bool { return p.known }) }) {
		a.problem("the server sent no SETTINGS")
	}
	return p
}

func prefaces(list ...http2.Setting) []byte {
	b := settings([]byte(http2.ClientPreface), list...)
	return frame(b, http2.FrameSettings, ack, 0, "")
}

// serve lets f be a server to each connection of the victim, after the
// prefaces, in a goroutine of its own.
func (a *attack) serve(f func(*peer), list ...http2.Setting) {
	a.serveBare(func(p *peer) {
		if p.preface() != nil {
			return // the victim gave up
		}
		if !p.write(frame(settings(nil, list...), http2.FrameSettings, ack, 0, "")) {
			return
		}
		go p.listen()
		f(p)
	})
}

// serveDeaf is serve by a peer that reads nothing until f is over.
func (a *attack) serveDeaf(f func(*peer), list ...http2.Setting) {
	a.serveBare(func(p *peer) {
		if p.preface() != nil || !p.write(frame(settings(nil, list...), http2.FrameSettings, ack, 0, "")) {
			return
		}
		f(p)
		p.listen()
	})
}

// done, called in f of serve, reports that the attack has been made, and wait waits
// for that.
func (a *attack) done() { a.finish.Do(func() { close(a.finished) }) }

func (a *attack) wait() {
	if !until(defaultBear, func() bool {
		select {
		case <-a.finished:
			return true
		default:
			return false
		}
	}) {
		a.problem("the attack came to nothing")
	}
}

// serveBare is serve before anything was exchanged.
func (a *attack) serveBare(f func(*peer)) {
	go func() {
		for {
			nc, err := a.lis.Accept()
			if err != nil {
				return
			}
			p := a.add(newPeer(nc))
			go f(p)
		}
	}()
	if _, err := a.victim.tell("begin"); err != nil {
		a.problem("%v", err)
	}
}

// answer returns the gravest answer that any connection got.
func (a *attack) answer() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.row.want == borne && !slices.ContainsFunc(a.peers, (*peer).lost) {
		return borne
	}
	if strings.HasPrefix(a.row.want, "calls ") {
		// What the application sees counts.
		r, err := a.victim.tell("report")
		if err != nil {
			return err.Error()
		}
		return "calls " + mostFrequent(r.Statuses)
	}
	// Connections that the attack did not reach have little to report.
	counts := map[string]int{}
	for _, p := range a.peers {
		counts[p.answer()]++
	}
	for _, mild := range []string{none, "GOAWAY NO_ERROR", "closed"} {
		if n := counts[mild]; n > 0 {
			if delete(counts, mild); len(counts) == 0 {
				return mild
			}
		}
	}
	if len(counts) == 0 {
		return none
	}
	return mostFrequent(counts)
}

// run makes one attack on a new victim.
func run(r *row, client bool) (res result) {
	began := time.Now()
	res = result{row: r, side: "server"}
	if client {
		res.side = "client"
	}
	defer func() { res.took = time.Since(began) }()
	dir, err := os.MkdirTemp("", "tn")
	if err != nil {
		res.problems = append(res.problems, err.Error())
		return res
	}
	defer os.RemoveAll(dir)
	a := &attack{row: r, client: client, dir: dir, finished: make(chan struct{})}
	if err := a.measure(&res); err != nil {
		res.problems = append(res.problems, err.Error())
	}
	res.problems = append(res.problems, a.problems...)
	return res
}

// measure starts the processes, attacks and watches the victim meanwhile.
func (a *attack) measure(res *result) (err error) {
	victim, prober, err := a.processes()
	stop := func(c *child) {
		if c != nil {
			if serr := c.stop(); serr != nil {
				err = errors.Join(err, serr)
			}
		}
	}
	defer func() { stop(prober); stop(victim) }()
	if err != nil {
		return err
	}
	a.victim = victim
	if a.client {
		lis, err := net.Listen("unix", a.path("hostile"))
		if err != nil {
			return err
		}
		defer lis.Close()
		a.lis = lis
	}
	if _, err := prober.tell("settle"); err != nil {
		return err
	}
	if err := a.awaitCalm(res, prober); err != nil {
		return err
	}
	before, err := victim.tell("settle")
	if err != nil {
		return err
	}
	rss, err := victim.memory("VmRSS")
	if err == nil {
		err = victim.forgetPeak()
	}
	if err != nil {
		return err
	}

	a.row.attack(a)
	bear := a.row.bear
	if bear == 0 {
		bear = defaultBear
	}
	if a.row.want == none || a.row.want == borne {
		until(holdTime, func() bool { return false })
	} else {
		until(bear, func() bool { return a.answer() == a.row.want })
		until(watchTime, func() bool { return false })
	}

	peak, err := victim.memory("VmHWM")
	if err != nil {
		return err
	}
	res.growth = peak - rss
	seen, err := victim.tell("report")
	if err != nil {
		return err
	}
	waits, err := a.prober(prober).tell("report")
	if err != nil {
		return err
	}
	res.longest, res.high, res.probes = waits.Longest, waits.High, waits.Probes
	if waits.Failed != "" {
		a.problem("a well-behaved call failed: %s", waits.Failed)
	}
	res.handlers, res.ended = seen.MaxLive, seen.Ended
	if !a.client {
		if res.limit = int(a.row.limits.MaxStreams); res.limit == 0 {
			res.limit = defaultStreams
		}
		res.limit = res.limit*max(1, len(a.peers)) + 1 // the well-behaved call
	}
	res.answer = a.answer()
	for _, p := range a.peers {
		res.unsaid = res.unsaid || p.closedUnsaid()
	}
	res.connections = len(a.peers)
	if err := a.free(res, before); err != nil {
		return err
	}
	after, err := a.calm(prober)
	res.calm = max(res.calm, after)
	return err
}

// prober is the process that makes the well-behaved calls: the one beside a
// server, or the client under attack itself.
func (a *attack) prober(beside *child) *child {
	if a.client {
		return a.victim
	}
	return beside
}

// calm returns the longest well-behaved call of calmTime in which nobody attacks.
func (a *attack) calm(beside *child) (time.Duration, error) {
	if _, err := a.prober(beside).tell("forget"); err != nil {
		return 0, err
	}
	until(calmTime, func() bool { return false })
	r, err := a.prober(beside).tell("report")
	return r.Longest, err
}

// awaitCalm waits for a moment in which the machine is not too busy, as long as
// patience lasts, and records how busy it was when it gave up.
func (a *attack) awaitCalm(res *result, beside *child) (err error) {
	for {
		if res.calm, err = a.calm(beside); err != nil || !res.busy() || awaited.Add(int64(calmTime)) > int64(patience) {
			return err
		}
	}
}

// free closes the connections, and waits until the victim has freed everything.
func (a *attack) free(res *result, before report) error {
	left := time.Now()
	if a.client {
		a.lis.Close()
	}
	a.mu.Lock()
	peers := a.peers
	a.mu.Unlock()
	for _, p := range peers {
		p.leave()
	}
	var err error
	until(10*maxFree, func() bool {
		// Requests that arrived before the end may begin after it, and each time there may
		// be handlers that did not exist the last time.
		if _, err = a.victim.tell("release"); err != nil {
			return true
		}
		var now report
		if now, err = a.victim.tell("collect"); err != nil {
			return true
		}
		res.freed, res.notFreed = time.Since(left), leftover(before, now, a.client)
		res.ended = now.Ended
		return res.notFreed == ""
	})
	return err
}

// A server keeps a few goroutines for further calls, and both ends keep buffers and
// the like.
const (
	keptGoroutines = 8
	keptMemory     = 3 << 20
)

// leftover describes what a victim holds that it did not hold before.
func leftover(before, now report, client bool) string {
	switch {
	case now.Live > 1: // the well-behaved call
		return fmt.Sprintf("%d handlers", now.Live)
	case now.Conns > before.Conns:
		return fmt.Sprintf("%d connections", now.Conns-before.Conns)
	case now.FDs > before.FDs:
		return fmt.Sprintf("%d descriptors", now.FDs-before.FDs)
	case now.Goroutines > before.Goroutines+keptGoroutines:
		return fmt.Sprintf("%d goroutines", now.Goroutines-before.Goroutines)
	case now.Heap > before.Heap+keptMemory:
		return mib(int(now.Heap-before.Heap)) + " of heap"
	}
	return ""
}

func (a *attack) path(name string) string { return filepath.Join(a.dir, name) }

// processes starts the victim and the process beside it: the one that probes a
// server, or the server that a client under attack probes itself.
func (a *attack) processes() (victim, beside *child, err error) {
	o := a.row.limits
	if !a.client {
		o.Socket, o.Good = a.path("victim"), a.path("victim")
		if victim, err = start("server", o); err != nil {
			return nil, nil, err
		}
		beside, err = start("client", options{Good: a.path("victim")})
		return victim, beside, err
	}
	o.Socket, o.Good = a.path("hostile"), a.path("good")
	if beside, err = start("server", options{Socket: a.path("good")}); err != nil {
		return nil, nil, err
	}
	victim, err = start("client", o)
	return victim, beside, err
}
