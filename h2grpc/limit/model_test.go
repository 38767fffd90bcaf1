package limit_test

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/limit"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// bucket is a token bucket as the documents describe it, in exact fractions, with a
// number of places.
type bucket struct {
	burst   int
	each    time.Duration // from one token to the next; 0: no rate
	most    int           // 0: no limit
	tokens  *big.Rat
	updated time.Time
	running int
}

func randomBucket(r *rand.Rand) *bucket {
	b := &bucket{updated: time.Now()}
	if r.IntN(4) > 0 {
		b.burst = 1 + r.IntN(5)
		b.each = time.Duration(100 + r.IntN(1_000_000))
	}
	if r.IntN(2) > 0 {
		b.most = 1 + r.IntN(4)
	}
	b.tokens = new(big.Rat).SetInt64(int64(b.burst))
	return b
}

func (b *bucket) limits() limit.Limits {
	l := limit.Limits{Burst: b.burst, InFlight: b.most}
	if b.each > 0 {
		l.Rate = 1e9 / float64(b.each)
	}
	return l
}

// fill adds the tokens that have come since the last time.
func (b *bucket) fill() {
	if b.each > 0 {
		b.tokens.Add(b.tokens, big.NewRat(int64(time.Since(b.updated)), int64(b.each)))
		if full := new(big.Rat).SetInt64(int64(b.burst)); b.tokens.Cmp(full) > 0 {
			b.tokens = full
		}
	}
	b.updated = time.Now()
}

// missing returns how long it takes until there is a whole token.
func (b *bucket) missing() time.Duration {
	one := big.NewRat(1, 1)
	if b.each == 0 || b.tokens.Cmp(one) >= 0 {
		return 0
	}
	lack := new(big.Rat).Sub(one, b.tokens)
	lack.Mul(lack, new(big.Rat).SetInt64(int64(b.each)))
	d := new(big.Int).Add(lack.Num(), lack.Denom())
	d.Sub(d, big.NewInt(1)) // so that the quotient is rounded up
	return time.Duration(d.Quo(d, lack.Denom()).Int64())
}

// TestModel makes random calls of random lengths at random times, and compares what
// happens to each with the model.
func TestModel(t *testing.T) {
	for seed := range uint64(300) {
		compareWithModel(t, rand.New(rand.NewPCG(seed, 0)))
		if t.Failed() {
			t.Fatalf("with the seed %d", seed)
		}
	}
}

func compareWithModel(t *testing.T, r *rand.Rand) {
	synctest.Test(t, func(t *testing.T) {
		server, service, one, other := randomBucket(r), randomBucket(r), randomBucket(r), randomBucket(r)
		l := newLimiter(t, limit.Config{
			Server: server.limits(),
			Methods: map[string]limit.Limits{
				"/a.B/": service.limits(), "/a.B/One": one.limits(), "/a.C/Other": other.limits(),
			},
		})
		calls := map[string][]*bucket{
			"/a.B/One":   {server, service, one},
			"/a.B/Two":   {server, service},
			"/a.C/Other": {server, other},
			"/a.C/More":  {server},
		}
		names := []string{"/a.B/One", "/a.B/Two", "/a.C/Other", "/a.C/More"}
		type running struct {
			end     chan struct{}
			buckets []*bucket
		}
		var inside []running
		for step := range 200 {
			switch n := r.IntN(10); {
			case n < 2 && len(inside) > 0:
				i := r.IntN(len(inside))
				close(inside[i].end)
				for _, b := range inside[i].buckets {
					b.running--
				}
				inside = append(inside[:i], inside[i+1:]...)
				synctest.Wait()
			case n < 4:
				time.Sleep(time.Duration(r.IntN(1_000_000)))
			case n < 5:
				time.Sleep(time.Duration(r.IntN(100)))
			default:
				name := names[r.IntN(len(names))]
				want := expected(calls[name])
				in, end, result := make(chan struct{}), make(chan struct{}), make(chan error, 1)
				go func() {
					result <- during(l, name, func() {
						close(in)
						<-end
					})
				}()
				synctest.Wait()
				got := "passes"
				select {
				case <-in:
					inside = append(inside, running{end, calls[name]})
				case err := <-result:
					got = outcome(err)
				}
				if got != want {
					t.Errorf("step %d, %s: %s, want: %s", step, name, got, want)
				}
			}
		}
		for _, c := range inside {
			close(c.end)
		}
	})
}

// expected returns what happens to a call that comes now, and counts it if it passes.
func expected(buckets []*bucket) string {
	var missing time.Duration
	full := false
	for _, b := range buckets {
		b.fill()
		missing = max(missing, b.missing())
		full = full || b.most > 0 && b.running == b.most
	}
	switch {
	case missing > 0:
		return fmt.Sprint("is refused for ", missing)
	case full:
		return "is refused"
	}
	for _, b := range buckets {
		b.running++
		if b.each > 0 {
			b.tokens.Sub(b.tokens, big.NewRat(1, 1))
		}
	}
	return "passes"
}

// outcome describes a refusal in the words of expected.
func outcome(err error) string {
	if status.Code(err) != codes.ResourceExhausted {
		return fmt.Sprint("fails with ", err)
	}
	if d, ok := limit.RetryDelay(err); ok {
		return fmt.Sprint("is refused for ", d)
	}
	return "is refused"
}
