package suite

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/tenonrpc/tenon/plugin/bench/agent"
	"github.com/tenonrpc/tenon/plugin/bench/contender"
)

// Fleet starts pairs: clients and servers, in processes of their own.
type Fleet struct {
	// Executable and Args start an agent.
	Executable string
	Args       []string
	// Programs are other builds of Executable, by the names that they are
	// measured under, each as the contender tenon. With any, they are all that is
	// measured, and Executable itself twice: as tenon, and as [Again].
	Programs map[string]string
	// Profiles is a directory for CPU profiles of all pairs; "" means none.
	Profiles string

	dir    string // for sockets
	secret *contender.Secret
	n      int // pairs so far
}

// open makes what pairs need.
func (f *Fleet) open() (err error) {
	if f.dir, err = os.MkdirTemp("", "tn"); err != nil { // short enough for sockets
		return err
	}
	f.secret, err = contender.NewSecret()
	return err
}

func (f *Fleet) close() { os.RemoveAll(f.dir) }

// Again is Executable once more, beside itself: how far their ratios are from 1
// is what the machine's noise makes of nothing.
const Again = "the same again"

// names are those of all that is measured.
func (f *Fleet) names() []string {
	var names []string
	if f.Programs == nil {
		for _, c := range contender.All() {
			names = append(names, c.Name)
		}
		return names
	}
	return append([]string{contender.Tenon, Again}, slices.Sorted(maps.Keys(f.Programs))...)
}

// program returns what to start for a name, and as which contender.
func (f *Fleet) program(name string) (executable, contends string) {
	if f.Programs == nil {
		return f.Executable, name
	}
	if other := f.Programs[name]; other != "" {
		return other, contender.Tenon
	}
	return f.Executable, contender.Tenon
}

// Pair is the client and the server of a contender. Server is nil if it has not
// started; so is Client.
type Pair struct {
	Name, Mode     string
	Client, Server *agent.Process

	base usages // what both ends held with nothing to do
}

// start starts a pair, or starts it anew.
func (f *Fleet) start(p *Pair) (err error) {
	p.Stop()
	f.n++
	executable, contends := f.program(p.Name)
	request := agent.Request{Do: "begin", Contender: contends, Socket: filepath.Join(f.dir, fmt.Sprint(f.n))}
	if p.Mode == MTLS {
		request.Secret = f.secret
	}
	if p.Server, err = f.begin(executable, request, true); err != nil {
		return err
	}
	if p.Client, err = f.begin(executable, request, false); err != nil {
		return err
	}
	if f.Profiles == "" {
		return nil
	}
	_, err1 := p.Client.Do(&agent.Request{Do: "profile", Profile: f.profile(p, "client")})
	_, err2 := p.Server.Do(&agent.Request{Do: "profile", Profile: f.profile(p, "server")})
	return errors.Join(err1, err2)
}

func (f *Fleet) profile(p *Pair, end string) string {
	return filepath.Join(f.Profiles, fmt.Sprintf("%d %s %s %s.prof", f.n, p.Name, p.Mode, end))
}

func (f *Fleet) begin(executable string, request agent.Request, server bool) (*agent.Process, error) {
	p, err := agent.Start(executable, f.Args...)
	if err != nil {
		return nil, err
	}
	request.Server = server
	if _, err := p.Do(&request); err != nil {
		p.Stop()
		return nil, fmt.Errorf("%s: %w", request.Contender, err)
	}
	return p, nil
}

// Stop ends both processes.
func (p *Pair) Stop() {
	if p.Client != nil {
		p.Client.Stop()
	}
	if p.Server != nil {
		p.Server.Stop()
	}
	p.Client, p.Server = nil, nil
}

// run runs a load once and measures both ends.
func (p *Pair) run(load *agent.Load, length time.Duration) (*Round, error) {
	before, err := p.Server.Usage(agent.Request{Collect: true})
	if err != nil {
		return nil, err
	}
	response, err := p.Client.Do(&agent.Request{Do: "run", Load: load, For: length})
	if err != nil {
		return nil, err
	}
	after, err := p.Server.Usage(agent.Request{})
	if err != nil {
		return nil, err
	}
	return &Round{
		Result:        *response.Result,
		ServerCPU:     after.CPU - before.CPU,
		ServerMallocs: after.Mallocs - before.Mallocs,
	}, nil
}
