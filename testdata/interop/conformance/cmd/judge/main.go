// Judge has h2grpc judged by what others wrote: connectconformance, h2spec,
// h2specd, grpc-go's interoperability tests and grpcurl. It installs these at
// fixed versions, builds the programs that they test, runs everything, and
// prints what each counted and what it left out. A count that is not the
// expected one is a failure, more cases included: nobody would notice otherwise
// that a suite has changed or has been skipped.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// atOnce is how many judges work at the same time. Two of them, h2specd's,
	// wait most of their time, so that two make use of the processors.
	atOnce = 4
	// patience bounds one judge.
	patience = 5 * time.Minute
)

func main() {
	dir := flag.String("dir", "", "the `directory` for programs and the suites' full output; a temporary one if empty")
	readme := flag.String("readme", "", "a `file` into which the counts are written between markers, if it is there")
	only := flag.String("only", "", "the judges to run, separated by commas; all if empty")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *dir, *readme, *only); err != nil {
		fmt.Fprintln(os.Stderr, "judge:", err)
		os.Exit(1)
	}
}

// A judge is one suite in one mode.
type judge struct {
	name string // for -only and the log's file
	what string // what is judged, for the table
	want int    // how many cases there are; all must pass
	run  func(context.Context, *bench, *log) (verdict, error)
	// others is what other implementations are known to pass of these cases, for
	// the table; "" if nothing is.
	others string
	but    string // what the table has to add, a sentence
	slow   bool   // it takes longest and is begun first
}

// verdict is what a judge found.
type verdict struct {
	passed, total int
	notes         []string // what was left out, and what is to be known
}

// judges are all judges, in the table's order.
func judges() []judge {
	return slices.Concat(connectJudges(), h2specJudges(), h2specdJudges(), interopJudges(), negativeJudges(), reflectionJudges())
}

// result is a judge with its verdict.
type result struct {
	judge
	verdict
	err  error
	took time.Duration
}

// good says whether everything is as it should be.
func (r *result) good() bool { return r.err == nil && r.passed == r.want && r.total == r.want }

func run(ctx context.Context, dir, readme, only string) error {
	if dir == "" {
		tmp, err := os.MkdirTemp("", "judge")
		if err != nil {
			return err
		}
		defer os.RemoveAll(tmp)
		dir = tmp
	}
	chosen := judges()
	if only != "" {
		names := strings.Split(only, ",")
		chosen = slices.DeleteFunc(chosen, func(j judge) bool { return !slices.Contains(names, j.name) })
		if len(chosen) != len(names) {
			return fmt.Errorf("-only %s names a judge that there is not", only)
		}
	}
	b, err := newBench(ctx, dir)
	if err != nil {
		return err
	}
	results := make([]result, len(chosen))
	slots := make(chan struct{}, atOnce)
	var (
		working sync.WaitGroup
		out     sync.Mutex
	)
	order := make([]int, len(chosen))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case chosen[a].slow && !chosen[b].slow:
			return -1
		case chosen[b].slow && !chosen[a].slow:
			return 1
		}
		return 0
	})
	for _, i := range order {
		slots <- struct{}{}
		working.Go(func() {
			defer func() { <-slots }()
			results[i] = b.judge(ctx, chosen[i])
			out.Lock()
			defer out.Unlock()
			results[i].print()
		})
	}
	working.Wait()

	table := table(results)
	fmt.Printf("\n%s\n", table)
	if only == "" {
		if err := writeReadme(readme, table); err != nil {
			return err
		}
	}
	bad := 0
	for _, r := range results {
		if !r.good() {
			bad++
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d judges are not content", bad, len(results))
	}
	return nil
}

// judge runs one judge, whose output goes to a file.
func (b *bench) judge(ctx context.Context, j judge) result {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r := result{judge: j}
	l := &log{path: filepath.Join(b.logs, j.name+".txt")}
	start := time.Now()
	r.verdict, r.err = j.run(ctx, b, l)
	r.took = time.Since(start)
	r.err = errors.Join(r.err, l.save())
	if r.err == nil && !r.good() {
		r.err = fmt.Errorf("%d of %d passed, want %d of %d; the whole output is in %s", r.passed, r.total, r.want, r.want, l.path)
	}
	return r
}

// print says what a judge found.
func (r *result) print() {
	sign := "ok    "
	if !r.good() {
		sign = "FAILED"
	}
	fmt.Printf("%s %s: %d of %d, in %.1f s\n", sign, r.what, r.passed, r.total, r.took.Seconds())
	for _, n := range r.notes {
		fmt.Println("       " + n)
	}
	if r.err != nil {
		fmt.Println("       " + strings.ReplaceAll(r.err.Error(), "\n", "\n       "))
	}
}
