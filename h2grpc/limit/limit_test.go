package limit_test

import (
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/limit"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// TestRate: a burst passes at once, then one call for each token.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, limit.Config{Server: limit.Limits{Rate: 10, Burst: 3}})
		time.Sleep(time.Hour) // the bucket holds no more than it did
		for range 3 {
			wantIn(t, "the burst", try(l, "/a.B/C"))
		}
		wantDelay(t, "the fourth call", try(l, "/a.B/C"), 100*time.Millisecond)
		wantDelay(t, "a refused call takes no token", try(l, "/a.B/C"), 100*time.Millisecond)
		time.Sleep(100*time.Millisecond - 1)
		wantDelay(t, "just before the delay is over", try(l, "/a.B/C"), 1)
		time.Sleep(time.Nanosecond)
		wantIn(t, "after the delay", try(l, "/a.B/C"))
		wantDelay(t, "and one more", try(l, "/a.B/C"), 100*time.Millisecond)
		time.Sleep(250 * time.Millisecond)
		wantIn(t, "two tokens", try(l, "/a.B/C"))
		wantIn(t, "two tokens", try(l, "/a.B/C"))
		wantDelay(t, "and half of one", try(l, "/a.B/C"), 50*time.Millisecond)
	})
}

// TestExtremeRates: limits far below one a second, and near the largest.
func TestExtremeRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		day := newLimiter(t, limit.Config{Server: limit.Limits{Rate: 1.0 / 86400, Burst: 1}})
		wantIn(t, "one a day", try(day, "/a.B/C"))
		wantDelay(t, "another", try(day, "/a.B/C"), 24*time.Hour)
		years := newLimiter(t, limit.Config{Server: limit.Limits{Rate: 1.0 / (99 * 365 * 86400), Burst: 1}})
		wantIn(t, "one in 99 years", try(years, "/a.B/C"))
		wantDelay(t, "another", try(years, "/a.B/C"), 99*365*24*time.Hour)
		quick := newLimiter(t, limit.Config{Server: limit.Limits{Rate: 10_000_000, Burst: 1}})
		wantIn(t, "ten million a second", try(quick, "/a.B/C"))
		wantDelay(t, "another", try(quick, "/a.B/C"), 100)
	})
}

// TestInFlight: places are free again when handlers return, or panic.
func TestInFlight(t *testing.T) {
	l := newLimiter(t, limit.Config{Server: limit.Limits{InFlight: 2}})
	for range 3 {
		wantIn(t, "the first", during(l, "/a.B/C", func() {
			wantIn(t, "the second", during(l, "/a.B/C", func() {
				wantFull(t, "the third", try(l, "/a.B/C"))
			}))
			wantIn(t, "after the second", try(l, "/a.B/C"))
		}))
		func() {
			defer func() { recover() }()
			during(l, "/a.B/C", func() { panic("in a handler") })
		}()
	}
}

// TestNoLimit: zero limits nothing.
func TestNoLimit(t *testing.T) {
	none, err := limit.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []*limit.Limiter{none, newLimiter(t, limit.Config{Methods: map[string]limit.Limits{"/a.B/": {}, "/a.B/C": {}}})} {
		for range 10_000 {
			wantIn(t, "without limits", try(l, "/a.B/C"))
		}
	}
}

// TestMethods: a call counts against the limits of its method, its service and the
// server, and against none if one of them refuses it.
func TestMethods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, limit.Config{
			Server: limit.Limits{Rate: 1, Burst: 10},
			Methods: map[string]limit.Limits{
				"/a.B/":  {Rate: 0.5, Burst: 4, InFlight: 1},
				"/a.B/C": {Rate: 0.1, Burst: 2},
				"/a.B/D": {},
			},
		})
		wantIn(t, "C 1", try(l, "/a.B/C"))
		wantIn(t, "C 2", try(l, "/a.B/C"))
		for range 100 {
			wantDelay(t, "C 3", try(l, "/a.B/C"), 10*time.Second)
		}
		wantIn(t, "D, of the same service", during(l, "/a.B/D", func() {
			wantFull(t, "one of the service at once", try(l, "/a.B/E"))
			wantDelay(t, "the delay is known, and more calls are in progress than may be", try(l, "/a.B/C"), 10*time.Second)
		}))
		wantIn(t, "E, which has no limits of its own", try(l, "/a.B/E"))
		wantDelay(t, "the service's tokens are used up", try(l, "/a.B/D"), 2*time.Second)
		wantDelay(t, "the longer of two delays", try(l, "/a.B/C"), 10*time.Second)
		for range 6 {
			wantIn(t, "the server's other tokens", try(l, "/a.Bc/C"))
		}
		wantDelay(t, "the server's tokens are used up", try(l, "/a.Bc/C"), time.Second)
		time.Sleep(time.Second)
		wantDelay(t, "a token of the server, none of the service", try(l, "/a.B/D"), time.Second)
		wantIn(t, "that token is still there", try(l, "/x"))
	})
}

// TestTexts: a refusal names its limit.
func TestTexts(t *testing.T) {
	l := newLimiter(t, limit.Config{
		Server:  limit.Limits{Rate: 1_000_000, Burst: 1_000_000, InFlight: 1},
		Methods: map[string]limit.Limits{"/a.B/": {Rate: 1e-6, Burst: 1}},
	})
	wantIn(t, "the first", during(l, "/a.B/C", func() {
		for method, want := range map[string]string{
			"/a.B/C": `over the limit of 0.000001 calls a second: Config.Methods["/a.B/"].Rate of the server's limit.Limiter`,
			"/a.C/C": `over the limit of 1 calls in progress: Config.Server.InFlight of the server's limit.Limiter`,
		} {
			if got := status.Convert(try(l, method)).Message(); got != want {
				t.Errorf("%s: %s", method, got)
			}
		}
	}))
}

// TestExemptions: what Exempt lists, and what describes the server, has no limits.
func TestExemptions(t *testing.T) {
	l := newLimiter(t, limit.Config{
		Server:  limit.Limits{Rate: 1e-6, Burst: 1, InFlight: 1},
		Methods: map[string]limit.Limits{"/a.B/": {Rate: 1e-6, Burst: 1}, "/a.B/D": {Rate: 1e-6, Burst: 1}},
		Exempt:  []string{"/a.B/C", "/a.C/"},
	})
	for range 3 {
		for _, method := range []string{
			"/a.B/C", "/a.C/C", "/a.C/D",
			"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch",
			"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
		} {
			wantIn(t, method, during(l, method, func() { wantIn(t, method, try(l, method)) }))
		}
	}
	wantIn(t, "none of these has taken the token", try(l, "/a.B/D"))
	for _, method := range []string{"/a.B/D", "/a.B/E", "/a.C.D/C", "/grpc.health.v1.Healthy/Check", "/grpc.reflections/C", "a.C/C", ""} {
		if status.Code(try(l, method)) != codes.ResourceExhausted {
			t.Errorf("%s is not limited", method)
		}
	}
}

// TestMistakes: limits and names that make no sense are errors, which name them.
func TestMistakes(t *testing.T) {
	server := func(l limit.Limits) limit.Config { return limit.Config{Server: l} }
	method := func(name string) limit.Config {
		return limit.Config{Methods: map[string]limit.Limits{name: {InFlight: 1}}, Exempt: []string{"/a.C/", "/a.D/E"}}
	}
	for _, c := range []struct {
		config limit.Config
		want   string
	}{
		{server(limit.Limits{Rate: -1, Burst: 1}), "Config.Server.Rate is -1"},
		{server(limit.Limits{Rate: math.NaN(), Burst: 1}), "Config.Server.Rate is NaN"},
		{server(limit.Limits{Rate: math.Inf(1), Burst: 1}), "Config.Server.Rate is +Inf"},
		{server(limit.Limits{Rate: math.Inf(-1), Burst: 1}), "Config.Server.Rate is -Inf"},
		{server(limit.Limits{Rate: 10_000_001, Burst: 1}), "Config.Server.Rate is 1.0000001e+07; it must be 10000000 at most"},
		{server(limit.Limits{Rate: 1}), "Config.Server.Burst is 0; with a Rate it must be at least 1"},
		{server(limit.Limits{Rate: 1, Burst: -1}), "Config.Server.Burst is -1"},
		{server(limit.Limits{Burst: -1}), "Config.Server.Burst is -1"},
		{server(limit.Limits{Burst: 1}), "Config.Server.Burst is 1 without a Rate"},
		{server(limit.Limits{InFlight: 1, Burst: 1}), "Config.Server.Burst is 1 without a Rate"},
		{server(limit.Limits{Rate: 1e-9, Burst: 4}), "Config.Server.Burst is 4; at a Rate of 1e-09 a second these take more than 100 years"},
		{server(limit.Limits{Rate: math.SmallestNonzeroFloat64, Burst: 1}), "Config.Server.Burst is 1; at a Rate of 5e-324"},
		{server(limit.Limits{Rate: 1e-3, Burst: math.MaxInt32}), "Config.Server.Burst is 2147483647; "},
		{server(limit.Limits{InFlight: -1}), "Config.Server.InFlight is -1"},
		{limit.Config{Methods: map[string]limit.Limits{"/a.B/C": {InFlight: -1}}}, `Config.Methods["/a.B/C"].InFlight is -1`},
		{method(""), `Config.Methods: "" is neither a method`},
		{method("/"), `"/" is neither`},
		{method("//"), `"//" is neither`},
		{method("//C"), `"//C" is neither`},
		{method("a.B/C"), `"a.B/C" is neither`},
		{method("/a.B"), `"/a.B" is neither`},
		{method("a.B"), `"a.B" is neither`},
		{method("/a/B/C"), `"/a/B/C" is neither`},
		{method("/a.B/C/"), `"/a.B/C/" is neither`},
		{limit.Config{Exempt: []string{"/a.B"}}, `Config.Exempt: "/a.B" is neither`},
		{method("/a.C/"), `Config.Methods["/a.C/"]: its calls are exempt`},
		{method("/a.C/D"), `Config.Methods["/a.C/D"]: its calls are exempt`},
		{method("/a.D/E"), `Config.Methods["/a.D/E"]: its calls are exempt`},
		{method("/grpc.health.v1.Health/Check"), `Config.Methods["/grpc.health.v1.Health/Check"]: its calls are exempt`},
		{method("/grpc.reflection.v1.ServerReflection/"), "its calls are exempt"},
	} {
		l, err := limit.New(&c.config)
		if l != nil || err == nil || !strings.HasPrefix(err.Error(), "limit: Config.") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.config, err, c.want)
		}
	}
	wantOK := method("/a.D/")
	if _, err := limit.New(&wantOK); err != nil {
		t.Error(err)
	}
}

// TestConfigIsCopied: what the caller changes later has no effect.
func TestConfigIsCopied(t *testing.T) {
	config := limit.Config{Methods: map[string]limit.Limits{"/a.B/": {Rate: 1e-6, Burst: 1}}, Exempt: []string{"/a.B/C"}}
	l, err := limit.New(&config)
	if err != nil {
		t.Fatal(err)
	}
	clear(config.Methods)
	config.Exempt[0] = "/a.B/D"
	for range 2 {
		wantIn(t, "C is exempt", try(l, "/a.B/C"))
	}
	wantIn(t, "D 1", try(l, "/a.B/D"))
	if try(l, "/a.B/D") == nil {
		t.Error("the limit is gone")
	}
}

// TestConcurrently: of many calls at once exactly as many pass as may, and in the end
// every place is free.
func TestConcurrently(t *testing.T) {
	const callers, each, tokens, places = 16, 200, 1000, 3
	l := newLimiter(t, limit.Config{
		Server:  limit.Limits{InFlight: places},
		Methods: map[string]limit.Limits{"/a.B/C": {Rate: 1e-6, Burst: tokens}},
	})
	var running, most, passed atomic.Int64
	attempt := func() error {
		return during(l, "/a.B/C", func() {
			n := running.Add(1)
			for was := most.Load(); n > was && !most.CompareAndSwap(was, n); was = most.Load() {
			}
			passed.Add(1)
			running.Add(-1)
		})
	}
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range each {
				err := attempt()
				for { // until a token was taken or there are none
					if _, empty := limit.RetryDelay(err); err == nil || empty {
						break
					}
					err = attempt()
				}
			}
		})
	}
	wg.Wait()
	if passed.Load() != tokens || most.Load() > places {
		t.Errorf("%d calls passed, want %d; %d at once, want at most %d", passed.Load(), tokens, most.Load(), places)
	}
	wantIn(t, "another method", during(l, "/a.B/D", func() {
		wantIn(t, "the second place", during(l, "/a.B/D", func() {
			wantIn(t, "the third place", during(l, "/a.B/D", func() {
				wantFull(t, "the fourth", try(l, "/a.B/D"))
			}))
		}))
	}))
}

// TestClockReadInAnotherOrder: goroutines that look at the clock in another order than
// they get the lock cost no token.
func TestClockReadInAnotherOrder(t *testing.T) {
	l := newLimiter(t, limit.Config{Server: limit.Limits{Rate: 1, Burst: 3}})
	for _, now := range []time.Duration{1000, 900, 950} {
		if !l.PassesAt(now, "/a.B/C") {
			t.Errorf("the call at %v is refused", now)
		}
	}
	if l.PassesAt(990, "/a.B/C") || l.PassesAt(time.Second, "/a.B/C") || !l.PassesAt(time.Second+1000, "/a.B/C") {
		t.Error("the next token has not come a second after the burst")
	}
}

// TestAllocations: a call that passes costs no memory.
func TestAllocations(t *testing.T) {
	l := newLimiter(t, limit.Config{
		Server:  limit.Limits{Rate: 1e6, Burst: 1e6, InFlight: 1},
		Methods: map[string]limit.Limits{"/a.B/": {Rate: 1e6, Burst: 1e6, InFlight: 1}},
	})
	pass := passer(l, "/a.B/C")
	if n := testing.AllocsPerRun(1000, func() {
		if pass() != nil {
			t.Error("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations a call", n)
	}
}
