package supervise_test

import (
	"slices"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/plugin/host/supervise"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
)

// BenchmarkSupervised measures a call through a supervisor beside one on the process's
// own connection, in turns: "ratio" is the median of the ratios of adjacent rounds.
func BenchmarkSupervised(b *testing.B) {
	s, err := supervise.Start(&supervise.Config{Host: command("kv", "")})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if err := s.WaitReady(b.Context()); err != nil {
		b.Fatal(err)
	}
	clients := []kvpb.KVClient{kvpb.NewKVClient(s.Client().Conn()), kvpb.NewKVClient(s)}
	const rounds = 101
	var took [2][]float64
	b.ReportAllocs()
	for b.Loop() {
		for r := range 2 * rounds {
			began := time.Now()
			for range 50 {
				if _, err := clients[r%2].Put(b.Context(), &kvpb.Entry{Key: "k"}); err != nil {
					b.Fatal(err)
				}
			}
			took[r%2] = append(took[r%2], float64(time.Since(began)))
		}
	}
	ratios := make([]float64, len(took[0]))
	for i := range ratios {
		ratios[i] = took[1][i] / took[0][i]
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
}
