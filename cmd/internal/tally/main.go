// Command tally reads the output of "go test -json" and prints a summary: how many
// tests of each package passed, failed and were skipped, the output of those that
// failed, and which were skipped and why. With -skips it reads from a file how many may
// be skipped.
//
// Its exit status is 1 if a test or a package failed, if none ran, or if more were
// skipped than allowed. "make windows" uses it.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

func main() {
	ceiling := flag.String("skips", "", "the `file` with the number of tests that may be skipped")
	flag.Parse()
	limit := -1
	if *ceiling != "" {
		text, err := os.ReadFile(*ceiling)
		if err == nil {
			limit, err = strconv.Atoi(strings.TrimSpace(string(text)))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "tally:", err)
			os.Exit(2)
		}
	}
	ok, err := tally(os.Stdin, os.Stdout, limit, *ceiling)
	if err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// event is a line of "go test -json" (go doc test2json, go help buildjson).
type event struct {
	Action      string
	Package     string
	ImportPath  string // of what is built, instead of Package
	Test        string // "" if it is about the package
	Elapsed     float64
	Output      string
	FailedBuild string
}

// counts is how many of a package's tests passed, failed and were skipped.
type counts struct{ passed, failed, skipped int }

// tally reads events from r and writes the report to w. limit is how many tests may be
// skipped, or -1 for any number, and name is the file that has the limit. ok reports
// whether everything is as required.
func tally(r io.Reader, w io.Writer, limit int, name string) (ok bool, err error) {
	type test struct{ pkg, name string }
	var (
		packages = make(map[string]*counts)
		said     = make(map[test][]string) // output of unfinished tests and of packages
		skips    []string
		all      counts
		broken   int // packages that failed
	)
	events := json.NewDecoder(bufio.NewReader(r))
	for {
		var e event
		if err := events.Decode(&e); err == io.EOF {
			break
		} else if err != nil {
			return false, fmt.Errorf("this is not what go test -json prints: %w", err)
		}
		id := test{e.Package, e.Test}
		switch e.Action {
		case "output":
			said[id] = append(said[id], e.Output)
			continue
		case "build-output":
			fmt.Fprint(w, e.Output)
			continue
		case "pass", "fail", "skip":
		default:
			continue
		}
		words := said[id]
		delete(said, id)
		if e.Test == "" {
			c := packages[e.Package]
			if c == nil {
				c = new(counts)
			}
			switch {
			case e.Action == "fail":
				broken++
				fmt.Fprintf(w, "FAILED %s\n%s", e.Package, strings.Join(words, ""))
			case e.Action == "skip":
				continue // it has no tests
			}
			fmt.Fprintf(w, "%-60s %5d passed %4d failed %4d skipped %7.1f s\n", e.Package, c.passed, c.failed, c.skipped, e.Elapsed)
			continue
		}
		c := packages[e.Package]
		if c == nil {
			c = new(counts)
			packages[e.Package] = c
		}
		switch e.Action {
		case "pass":
			c.passed++
			all.passed++
		case "fail":
			c.failed++
			all.failed++
			fmt.Fprintf(w, "FAILED %s %s\n%s", e.Package, e.Test, strings.Join(words, ""))
		case "skip":
			c.skipped++
			all.skipped++
			skips = append(skips, fmt.Sprintf("%s %s: %s", e.Package, e.Test, reason(words)))
		}
	}
	// The end of the output of an unfinished test tells why.
	for id, words := range said {
		if id.name != "" {
			fmt.Fprintf(w, "not over: %s %s\n%s", id.pkg, id.name, strings.Join(words, ""))
			broken++
		}
	}
	slices.Sort(skips)
	for _, skip := range skips {
		fmt.Fprintln(w, "skipped", skip)
	}
	return all.judge(w, limit, name) && broken == 0, nil
}

// judge writes the sum of all packages, and reports whether it is as required.
func (all *counts) judge(w io.Writer, limit int, name string) (ok bool) {
	fmt.Fprintf(w, "%d tests passed, %d failed, %d were skipped\n", all.passed, all.failed, all.skipped)
	ok = all.failed == 0 && all.passed > 0
	switch {
	case limit < 0:
	case all.skipped > limit:
		fmt.Fprintf(w, "%s:1: more tests are skipped than the %d that may be\n", name, limit)
		ok = false
	case all.skipped < limit:
		fmt.Fprintf(w, "%s:1: %d may be skipped: the number can be lowered\n", name, limit)
	}
	return ok
}

// reason returns the output of a skipped test, without the lines that package testing
// prints around it.
func reason(words []string) string {
	var said []string
	for _, line := range words {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") && line != "" {
			said = append(said, line)
		}
	}
	return strings.Join(said, " ")
}
