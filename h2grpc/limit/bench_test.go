package limit_test

import (
	"context"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/limit"
)

// passer returns a function that makes a call whose handler does nothing, and that
// allocates nothing itself.
func passer(l *limit.Limiter, method string) func() error {
	ctx, info := context.Background(), &h2grpc.UnaryServerInfo{FullMethod: method}
	handler := func(context.Context, any) (any, error) { return nil, nil }
	return func() error {
		_, err := l.Unary(ctx, nil, info, handler)
		return err
	}
}

var now time.Time

// BenchmarkLimiter measures what an interceptor adds to a call that passes. The metric
// "clocks" is the time as a multiple of what time.Now takes in the same run.
func BenchmarkLimiter(b *testing.B) {
	plenty := limit.Limits{Rate: 1e7, Burst: 1e9, InFlight: 1000}
	for _, c := range []struct {
		name   string
		config limit.Config
		method string
	}{
		{"nothing", limit.Config{}, "/a.B/C"},
		{"in flight", limit.Config{Server: limit.Limits{InFlight: 1000}}, "/a.B/C"},
		{"rate", limit.Config{Server: limit.Limits{Rate: 1e7, Burst: 1e9}}, "/a.B/C"},
		{"rate and in flight", limit.Config{Server: plenty}, "/a.B/C"},
		{"and of the method", limit.Config{Server: plenty, Methods: map[string]limit.Limits{"/a.B/C": plenty, "/a.B/D": plenty}}, "/a.B/C"},
		{"and of the service", limit.Config{Server: plenty, Methods: map[string]limit.Limits{"/a.B/": plenty, "/a.B/C": plenty, "/a.B/D": plenty}}, "/a.B/C"},
		{"exempt", limit.Config{Server: plenty}, "/grpc.health.v1.Health/Check"},
	} {
		b.Run(c.name, func(b *testing.B) {
			pass := passer(newLimiter(b, c.config), c.method)
			b.ReportAllocs()
			var clock time.Duration
			rounds := 0
			for b.Loop() {
				if err := pass(); err != nil {
					b.Fatal(err)
				}
				if rounds++; rounds&1023 == 0 {
					b.StopTimer()
					begun := time.Now()
					for range 1023 {
						now = time.Now()
					}
					clock += time.Since(begun)
					b.StartTimer()
				}
			}
			if clock > 0 {
				each := float64(clock) / float64(rounds/1024*1024)
				b.ReportMetric(float64(b.Elapsed())/float64(b.N)/each, "clocks")
			}
		})
	}
}

// BenchmarkLimiterParallel has every processor make calls at once.
func BenchmarkLimiterParallel(b *testing.B) {
	l := newLimiter(b, limit.Config{Server: limit.Limits{Rate: 1e7, Burst: 1e9, InFlight: 1000}})
	b.RunParallel(func(pb *testing.PB) {
		pass := passer(l, "/a.B/C")
		for pb.Next() {
			if err := pass(); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkClock is what the others are compared with.
func BenchmarkClock(b *testing.B) {
	for b.Loop() {
		now = time.Now()
	}
}

// BenchmarkRefused measures a call that is refused.
func BenchmarkRefused(b *testing.B) {
	l := newLimiter(b, limit.Config{Server: limit.Limits{Rate: 1e-6, Burst: 1}})
	pass := passer(l, "/a.B/C")
	if err := pass(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if pass() == nil {
			b.Fatal("it passed")
		}
	}
}
