// Package suite measures loads: it starts a client and a server of each
// contender, gives all of them the same loads in turn, round by round, and keeps
// what they have measured.
package suite

import (
	"slices"
	"time"

	"github.com/tenonrpc/tenon/plugin/bench/agent"
	"github.com/tenonrpc/tenon/plugin/bench/contender"
)

// Options say how much is measured.
type Options struct {
	Rounds   int
	Length   time.Duration                           // of one round of one contender
	Select   func(load, contender, mode string) bool // nil: everything
	Progress func(format string, args ...any)
}

// The modes.
const (
	Plain = "plain"
	MTLS  = "mTLS"
)

// Outcome is what was measured of one contender under one load.
type Outcome struct {
	Load, Contender, Mode string
	Size                  int  // of each message, in bytes
	Streaming             bool // what is counted are messages, and there are no latencies
	Beside                bool // the processors have something else to do as well
	Rounds                []Round
	Err                   string `json:",omitempty"` // why there are no rounds
}

// Round is one run.
type Round struct {
	agent.Result
	ServerCPU     time.Duration
	ServerMallocs uint64
}

// Run measures. Outcomes come in the order of the loads, then of the modes, then
// of the contenders.
func (f *Fleet) Run(o *Options) ([]Outcome, error) {
	if err := f.open(); err != nil {
		return nil, err
	}
	defer f.close()
	var pairs []*Pair
	defer func() {
		for _, p := range pairs {
			p.Stop()
		}
	}()
	for _, mode := range []string{Plain, MTLS} {
		for _, name := range f.names() {
			takes := func(load agent.Load) bool { return o.selected(&load, name, mode) }
			if !slices.ContainsFunc(Loads(), takes) {
				continue
			}
			p := &Pair{Name: name, Mode: mode}
			pairs = append(pairs, p)
			if err := f.start(p); err != nil {
				return nil, err
			}
		}
	}
	var all []Outcome
	for _, load := range Loads() {
		outcomes, err := f.measure(o, &load, pairs)
		if err != nil {
			return nil, err
		}
		all = append(all, outcomes...)
	}
	return all, nil
}

func (o *Options) selected(load *agent.Load, name, mode string) bool {
	if name == contender.Raw && !rawCan(load) {
		return false
	}
	return o.Select == nil || o.Select(load.Name, name, mode)
}

// measure measures one load. Contenders take turns, and each round begins with
// another one, so that whatever else the machine does meets all of them alike.
// One that fails is out, and begins anew with the next load.
func (f *Fleet) measure(o *Options, load *agent.Load, all []*Pair) ([]Outcome, error) {
	var outcomes []Outcome
	var pairs []*Pair
	for _, p := range all {
		if o.selected(load, p.Name, p.Mode) {
			pairs = append(pairs, p)
			outcomes = append(outcomes, Outcome{
				Load: load.Name, Contender: p.Name, Mode: p.Mode,
				Size: load.Size, Streaming: load.Kind.Streaming(), Beside: load.Beside != "",
			})
		}
	}
	if len(pairs) == 0 {
		return nil, nil
	}
	o.Progress("%s", load.Name)
	fail := func(i int, err error) {
		outcomes[i].Err, outcomes[i].Rounds = err.Error(), nil
		o.Progress("%s, %s, %s: %v", load.Name, pairs[i].Name, pairs[i].Mode, err)
	}
	for i, p := range pairs {
		if _, err := p.Client.Do(&agent.Request{Do: "hold", Streams: load.Parked}); err != nil {
			fail(i, err)
		} else if _, err := p.run(load, o.Length/warmPart); err != nil {
			fail(i, err)
		}
	}
	for round := range o.Rounds {
		for n := range pairs {
			i := (n + round) % len(pairs)
			if outcomes[i].Err != "" {
				continue
			}
			result, err := pairs[i].run(load, o.Length)
			if err != nil {
				fail(i, err)
				continue
			}
			outcomes[i].Rounds = append(outcomes[i].Rounds, *result)
		}
	}
	for i, p := range pairs {
		if outcomes[i].Err == "" {
			_, err := p.Client.Do(&agent.Request{Do: "hold"})
			if err == nil {
				continue
			}
			fail(i, err)
		}
		if err := f.start(p); err != nil {
			return nil, err
		}
	}
	return outcomes, nil
}

// warmPart is the part of a round that warms up before the first one.
const warmPart = 2
