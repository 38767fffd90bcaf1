package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestJudges: every judge has a name of its own, and all that the table needs.
func TestJudges(t *testing.T) {
	seen := map[string]bool{}
	for _, j := range judges() {
		if j.name == "" || seen[j.name] || j.what == "" || j.want == 0 || j.run == nil {
			t.Errorf("the judge %q is not complete, or there are two", j.name)
		}
		seen[j.name] = true
	}
}

// TestGood: only the expected number of cases, all passed, will do.
func TestGood(t *testing.T) {
	for _, c := range []struct {
		passed, total int
		want          bool
	}{{6, 6, true}, {5, 6, false}, {5, 5, false}, {7, 7, false}, {6, 7, false}, {0, 0, false}} {
		r := result{judge: judge{want: 6}, verdict: verdict{passed: c.passed, total: c.total}}
		if r.good() != c.want {
			t.Errorf("%d of %d where 6 are expected: good is %v", c.passed, c.total, r.good())
		}
	}
}

// TestCounts: the suites' own words are understood.
func TestCounts(t *testing.T) {
	if m := h2specCounts.FindStringSubmatch("Finished in 2.1 seconds\n146 tests, 144 passed, 1 skipped, 1 failed\n"); m == nil || strings.Join(m[1:], " ") != "146 144 1 1" {
		t.Errorf("h2spec's counts are read as %q", m)
	}
	if m := connectCounts.FindStringSubmatch("x\nTotal cases: 570\n568 passed, 2 failed\n"); m == nil || strings.Join(m[1:], " ") != "570 568 2" {
		t.Errorf("connectconformance's counts are read as %q", m)
	}
}

// TestMissingLines: grpcurl's lines are found whatever stands before them, and no
// others.
func TestMissingLines(t *testing.T) {
	const text = "service S {\n  rpc Get ( .R ) returns ( .R );\n}\n{\n  \"value\": \"x\",\n  \"more\": 1\n}\n"
	if missing := missingLines(text, []string{"service S {", "rpc Get ( .R ) returns ( .R );", `"value": "x"`}); missing != nil {
		t.Errorf("%q are there", missing)
	}
	if missing := missingLines(text, []string{"service", `"value": "y"`}); len(missing) != 2 {
		t.Errorf("only %q are missed", missing)
	}
}

func TestReadme(t *testing.T) {
	const table = "| judge |\n"
	for _, c := range []struct{ before, after string }{
		{"a\n" + beginMark + "old\nolder\n" + endMark + "b\n", "a\n" + beginMark + table + endMark + "b\n"},
		{beginMark + endMark, beginMark + table + endMark},
		{"no markers\n", "no markers\n"},
		{beginMark + "no end\n", beginMark + "no end\n"},
	} {
		path := filepath.Join(t.TempDir(), "README.md")
		if err := os.WriteFile(path, []byte(c.before), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := writeReadme(path, table); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != c.after {
			t.Errorf("%q became %q, %v, want %q", c.before, got, err, c.after)
		}
	}
	if err := writeReadme(filepath.Join(t.TempDir(), "README.md"), table); err != nil {
		t.Errorf("a file that is not there: %v", err)
	}
}
