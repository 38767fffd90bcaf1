package suite_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/plugin/bench/agent"
	"github.com/tenonrpc/tenon/plugin/bench/contender"
	"github.com/tenonrpc/tenon/plugin/bench/suite"
)

// asAgent makes the test binary an agent.
const asAgent = "-be-an-agent"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == asAgent {
		if err := agent.Main(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func fleet(t *testing.T) *suite.Fleet {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &suite.Fleet{Executable: self, Args: []string{asAgent}}
}

// TestRun measures every load for a moment.
func TestRun(t *testing.T) {
	wanted := map[string]bool{contender.Tenon: true, contender.Raw: true}
	outcomes, err := fleet(t).Run(&suite.Options{
		Rounds: 2, Length: time.Millisecond, Progress: t.Logf,
		Select: func(_, name, mode string) bool { return wanted[name] && mode == suite.MTLS },
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, load := range suite.Loads() {
		o := suite.Find(outcomes, load.Name, contender.Tenon, suite.MTLS)
		if o == nil || o.Err != "" || len(o.Rounds) != 2 {
			t.Errorf("%s: %+v, want two rounds", load.Name, o)
			continue
		}
		r := o.Rounds[1]
		if r.Calls < uint64(load.Callers) || r.Elapsed < time.Millisecond || r.CPU <= 0 || r.ServerCPU <= 0 || r.Mallocs == 0 || r.ServerMallocs == 0 {
			t.Errorf("%s: %+v, want something of everything", load.Name, r)
		}
		if latency := r.P50 > 0 && r.P99 >= r.P50 && r.Max >= r.P99; latency == load.Kind.Streaming() {
			t.Errorf("%s: latencies %v, %v, %v", load.Name, r.P50, r.P99, r.Max)
		}
	}
	for load, want := range map[string]bool{suite.Small1: true, suite.Small16: false} {
		if got := suite.Find(outcomes, load, contender.Raw, suite.MTLS) != nil; got != want {
			t.Errorf("%s: a bare socket was measured: %v", load, got)
		}
	}
}

// TestGrow measures all that grows, with few of each.
func TestGrow(t *testing.T) {
	f := fleet(t)
	growth, err := f.Grow(&suite.GrowthOptions{
		Connections: []int{1, 3}, Streams: []int{1, 20}, Bytes: []int{0, 1 << 20},
		Length: time.Millisecond, Progress: t.Logf,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range growth {
		if len(g.Steps) != 2 || g.Err != "" {
			t.Errorf("%s, %s: %d steps, error %q", g.Contender, g.What, len(g.Steps), g.Err)
			continue
		}
		if s := g.Steps[1]; s.ClientMemory <= 0 || s.ServerMemory <= 0 || s.ClientCPU <= 0 || s.ServerCPU <= 0 || s.P50 <= 0 {
			t.Errorf("%s, %s: %+v, want something of everything", g.Contender, g.What, s)
		}
	}
}

func TestRatio(t *testing.T) {
	o, base := rounds(10, 30, 20), rounds(5, 10, 10)
	if got, ok := o.Median(suite.PerSecond); !ok || got != 20 {
		t.Errorf("the median is %v, want 20", got)
	}
	if got, ok := o.Ratio(base, suite.PerSecond); !ok || got != 2 {
		t.Errorf("the ratio is %v, want 2: the median of 2, 3 and 2", got)
	}
	if got, ok := o.Ratio(rounds(), suite.PerSecond); ok {
		t.Errorf("the ratio to nothing is %v", got)
	}
}

func rounds(calls ...uint64) *suite.Outcome {
	o := &suite.Outcome{}
	for _, n := range calls {
		o.Rounds = append(o.Rounds, suite.Round{Result: agent.Result{Calls: n, Elapsed: time.Second}})
	}
	return o
}
