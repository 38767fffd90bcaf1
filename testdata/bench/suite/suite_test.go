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

// TestPrograms: other builds are measured beside this one, which is there twice.
func TestPrograms(t *testing.T) {
	f := fleet(t)
	f.Programs = map[string]string{"before": f.Executable}
	outcomes, err := f.Run(&suite.Options{
		Rounds: 2, Length: time.Millisecond, Progress: t.Logf,
		Select: func(load, _, mode string) bool { return load == suite.Small1 && mode == suite.Plain },
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(outcomes) != 3 {
		t.Errorf("%d outcomes, want 3", len(outcomes))
	}
	for _, name := range []string{contender.Tenon, suite.Again, "before"} {
		if o := suite.Find(outcomes, suite.Small1, name, suite.Plain); o == nil || len(o.Rounds) != 2 {
			t.Errorf("%s: %+v, want two rounds", name, o)
		}
	}
	f.Programs["before"] += " is not there"
	if _, err := f.Run(&suite.Options{Rounds: 1, Length: time.Millisecond, Progress: t.Logf}); err == nil {
		t.Error("a program that is not there was measured")
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
	var calls, ones []uint64
	for n := range uint64(21) {
		calls, ones = append(calls, 21-n), append(ones, 1)
	}
	ratio, low, high, ok := rounds(calls...).RatioInterval(rounds(ones...), suite.PerSecond)
	if !ok || ratio != 11 || low != 6 || high != 16 { // of 21, the 6th and the 16th: tables of the sign test
		t.Errorf("the ratio is %v [%v, %v], want 11 [6, 16]", ratio, low, high)
	}
	if _, _, _, ok := o.RatioInterval(rounds(), suite.PerSecond); ok {
		t.Error("there is an interval of nothing")
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
