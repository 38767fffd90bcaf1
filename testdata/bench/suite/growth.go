package suite

import (
	"fmt"
	"time"

	"github.com/tenonrpc/tenon/plugin/bench/agent"
	"github.com/tenonrpc/tenon/plugin/bench/contender"
)

// Growth is how the cost of something grows with its number or size.
type Growth struct {
	What, Contender string
	Steps           []Step
	Err             string `json:",omitempty"` // why there are no further steps
}

// What grows.
const (
	Connections = "connections"
	Streams     = "parked streams"
	Bytes       = "bytes of a message"
)

// Step is the cost at one number or size.
type Step struct {
	N int
	// What both ends hold, in bytes, beyond what they held with none. For
	// messages: the most that they held during one call, beyond the request,
	// the response and the server's one message, which are the application's.
	ClientMemory, ServerMemory int64
	// Processor time for each that was added; for messages, for each call.
	ClientCPU, ServerCPU time.Duration
	// The latency of calls with 8 bytes meanwhile; for messages, of theirs.
	P50 time.Duration
}

// GrowthOptions say how much is measured.
type GrowthOptions struct {
	Connections, Streams, Bytes []int
	Length                      time.Duration // of runs that measure latencies
	Progress                    func(format string, args ...any)
}

// growing are the contenders whose growth is of interest.
var growing = []string{contender.Tenon, contender.GRPC}

// Grow measures how costs grow.
func (f *Fleet) Grow(o *GrowthOptions) ([]Growth, error) {
	if err := f.open(); err != nil {
		return nil, err
	}
	defer f.close()
	var all []Growth
	for _, g := range []struct {
		what    string
		numbers []int
		step    func(p *Pair, n, had int, o *GrowthOptions) (*Step, error)
	}{
		{Connections, o.Connections, stepConnections},
		{Streams, o.Streams, stepStreams},
		{Bytes, o.Bytes, stepBytes},
	} {
		for _, name := range growing {
			o.Progress("%s: %s", name, g.what)
			growth := Growth{What: g.what, Contender: name}
			err := f.with(name, func(p *Pair) error {
				had := 0
				for _, n := range g.numbers {
					step, err := g.step(p, n, had, o)
					if err != nil {
						return err
					}
					growth.Steps = append(growth.Steps, *step)
					had = n
				}
				return nil
			})
			if err != nil {
				growth.Err = err.Error()
				o.Progress("%s: %s: %v", name, g.what, err)
			}
			all = append(all, growth)
		}
	}
	return all, nil
}

// with does something with a pair of its own.
func (f *Fleet) with(name string, do func(*Pair) error) error {
	p := &Pair{Name: name, Mode: Plain}
	defer p.Stop()
	if err := f.start(p); err != nil {
		return err
	}
	return do(p)
}

func stepConnections(p *Pair, n, had int, o *GrowthOptions) (*Step, error) {
	return p.hold(&agent.Request{Do: "hold", Conns: n}, n, had, o)
}

func stepStreams(p *Pair, n, had int, o *GrowthOptions) (*Step, error) {
	return p.hold(&agent.Request{Do: "hold", Streams: n}, n, had, o)
}

// hold has the client hold n of something instead of had.
func (p *Pair) hold(request *agent.Request, n, had int, o *GrowthOptions) (*Step, error) {
	if had == 0 {
		var err error
		if p.base, err = p.usage(agent.Request{Settle: true}); err != nil {
			return nil, err
		}
	}
	before, err := p.usage(agent.Request{})
	if err != nil {
		return nil, err
	}
	if _, err := p.Client.Do(request); err != nil {
		return nil, err
	}
	after, err := p.usage(agent.Request{})
	if err != nil {
		return nil, err
	}
	run, err := p.run(&agent.Load{Kind: agent.Echo, Size: 8, Callers: 1}, o.Length)
	if err != nil {
		return nil, err
	}
	settled, err := p.usage(agent.Request{Settle: true})
	if err != nil {
		return nil, err
	}
	added := time.Duration(n - had)
	return &Step{
		N:            n,
		ClientMemory: int64(settled.client.Resident) - int64(p.base.client.Resident),
		ServerMemory: int64(settled.server.Resident) - int64(p.base.server.Resident),
		ClientCPU:    (after.client.CPU - before.client.CPU) / added,
		ServerCPU:    (after.server.CPU - before.server.CPU) / added,
		P50:          run.P50,
	}, nil
}

func stepBytes(p *Pair, n, _ int, o *GrowthOptions) (*Step, error) {
	run, err := p.run(&agent.Load{Kind: agent.Echo, Size: n, Callers: 1}, o.Length)
	if err != nil {
		return nil, err
	}
	before, err := p.usage(agent.Request{Settle: true, Frugal: true})
	if err != nil {
		return nil, err
	}
	response, err := p.Client.Do(&agent.Request{Do: "once", Size: n})
	if err != nil {
		return nil, err
	}
	after, err := p.usage(agent.Request{})
	if err != nil {
		return nil, err
	}
	calls := time.Duration(run.Calls)
	return &Step{
		N:            n,
		ClientMemory: int64(response.Usage.Peak) - int64(response.Usage.Resident) - int64(n),
		ServerMemory: int64(after.server.Peak) - int64(before.server.Resident) - int64(n),
		ClientCPU:    run.CPU / calls,
		ServerCPU:    run.ServerCPU / calls,
		P50:          run.P50,
	}, nil
}

// usages is what both ends have used.
type usages struct{ client, server *agent.Usage }

func (p *Pair) usage(request agent.Request) (u usages, err error) {
	if u.client, err = p.Client.Usage(request); err != nil {
		return u, fmt.Errorf("client: %w", err)
	}
	if u.server, err = p.Server.Usage(request); err != nil {
		return u, fmt.Errorf("server: %w", err)
	}
	return u, nil
}
