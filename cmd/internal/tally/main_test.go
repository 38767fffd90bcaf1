package main

import (
	"strings"
	"testing"
)

const run = `{"Action":"start","Package":"m/a"}
{"Action":"run","Package":"m/a","Test":"TestGood"}
{"Action":"output","Package":"m/a","Test":"TestGood","Output":"=== RUN   TestGood\n"}
{"Action":"pass","Package":"m/a","Test":"TestGood","Elapsed":0}
{"Action":"run","Package":"m/a","Test":"TestLacks"}
{"Action":"output","Package":"m/a","Test":"TestLacks","Output":"=== RUN   TestLacks\n"}
{"Action":"output","Package":"m/a","Test":"TestLacks","Output":"    a_test.go:3: no go command\n"}
{"Action":"output","Package":"m/a","Test":"TestLacks","Output":"--- SKIP: TestLacks (0.00s)\n"}
{"Action":"skip","Package":"m/a","Test":"TestLacks","Elapsed":0}
{"Action":"output","Package":"m/a","Output":"PASS\n"}
{"Action":"pass","Package":"m/a","Elapsed":1.5}
{"Action":"skip","Package":"m/none","Elapsed":0}
`

func TestTally(t *testing.T) {
	failing := strings.NewReplacer(`"pass","Package":"m/a","Test"`, `"fail","Package":"m/a","Test"`, `"pass","Package":"m/a","Elapsed"`, `"fail","Package":"m/a","Elapsed"`)
	for name, tc := range map[string]struct {
		in    string
		limit int
		ok    bool
		want  string
	}{
		"good":               {run, 1, true, "1 passed    0 failed    1 skipped     1.5 s"},
		"the reason":         {run, 1, true, "skipped m/a TestLacks: a_test.go:3: no go command\n1 tests passed, 0 failed, 1 were skipped\n"},
		"any number":         {run, -1, true, "1 were skipped"},
		"too many skips":     {run, 0, false, "skips.txt:1: more tests are skipped than the 0 that may be"},
		"fewer skips":        {run, 2, true, "skips.txt:1: 2 may be skipped: the number can be lowered"},
		"a failure":          {failing.Replace(run), 1, false, "FAILED m/a TestGood\n=== RUN   TestGood\n"},
		"nothing ran":        {"", 1, false, "0 tests passed"},
		"a package crashed":  {run + `{"Action":"fail","Package":"m/b","Elapsed":0}` + "\n", 1, false, "FAILED m/b\n"},
		"a build failed":     {run + `{"Action":"build-output","ImportPath":"m/c","Output":"c.go:1: bad\n"}` + "\n" + `{"Action":"fail","Package":"m/c","FailedBuild":"m/c"}` + "\n", 1, false, "c.go:1: bad\n"},
		"a test was cut off": {run + `{"Action":"output","Package":"m/a","Test":"TestLong","Output":"last words\n"}` + "\n", 1, false, "not over: m/a TestLong\nlast words\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			ok, err := tally(strings.NewReader(tc.in), &out, tc.limit, "skips.txt")
			if err != nil || ok != tc.ok || !strings.Contains(out.String(), tc.want) {
				t.Errorf("ok is %v, %v, and the report\n%s\nwant %v and %q in it", ok, err, &out, tc.ok, tc.want)
			}
		})
	}
	if ok, err := tally(strings.NewReader("FAIL m/a"), new(strings.Builder), 0, ""); ok || err == nil {
		t.Errorf("plain text is taken: %v, %v", ok, err)
	}
}
