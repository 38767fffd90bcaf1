// Package vectors reads the cases in its folders, for the tests of the codecs.
// It is no part of any program.
package vectors

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A Vector is one file of testdata/vectors/<codec>: lines of "key: value".
// Every vector has
//
//	comment:  why the case is there, as a sentence
//	expect:   "ok", or the name of the sentinel that the error must wrap
//
// and the further headers that its codec's test reads. Bytes are written as Go
// strings, of which several are joined and "a"*3 repeats: "x" "a"*3 "\n".
type Vector struct {
	Name      string
	headers   map[string][]string
	used      map[string]bool
	sentinels map[string]error
}

// Load reads every vector of a codec and fails if there is none.
func Load(t testing.TB, codec string) []*Vector {
	t.Helper()
	var vectors []*Vector
	texts := files(t, codec)
	for _, path := range slices.Sorted(maps.Keys(texts)) {
		v := &Vector{
			Name:    strings.TrimSuffix(filepath.Base(path), ".txt"),
			headers: make(map[string][]string),
			used:    map[string]bool{"comment": true, "expect": true},
		}
		for line := range strings.Lines(texts[path]) {
			key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
			if !ok {
				t.Fatalf("%s: line without a colon: %q", path, line)
			}
			v.headers[key] = append(v.headers[key], strings.TrimPrefix(value, " "))
		}
		if v.Get(t, "comment") == "" {
			t.Fatalf("%s: empty comment", path)
		}
		vectors = append(vectors, v)
	}
	return vectors
}

// files returns the texts of a folder of testdata/vectors, by their paths.
func files(t testing.TB, folder string) map[string]string {
	t.Helper()
	top := "."
	for {
		if _, err := os.Stat(filepath.Join(top, "go.mod")); err == nil {
			break
		}
		if top = filepath.Join("..", top); len(top) > 100 {
			t.Fatal("no go.mod above the test")
		}
	}
	paths, err := filepath.Glob(filepath.Join(top, "testdata", "vectors", folder, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Fatalf("no vectors in %s", folder)
	}
	texts := make(map[string]string)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts[path] = string(text)
	}
	return texts
}

// Run runs check on every vector of a codec, as a subtest each. A header that
// check did not look at is a mistake in the vector. sentinels are the errors that
// "expect:" may name.
func Run(t *testing.T, codec string, sentinels map[string]error, check func(t *testing.T, v *Vector)) {
	for _, v := range Load(t, codec) {
		t.Run(v.Name, func(t *testing.T) {
			v.sentinels = sentinels
			check(t, v)
			for _, key := range slices.Sorted(maps.Keys(v.headers)) {
				if !v.used[key] && !t.Failed() {
					t.Errorf("header %q is not used", key)
				}
			}
		})
	}
}

// Get returns a header that stands exactly once.
func (v *Vector) Get(t testing.TB, key string) string {
	t.Helper()
	v.used[key] = true
	if len(v.headers[key]) != 1 {
		t.Fatalf("%s: header %q stands %d times, want once", v.Name, key, len(v.headers[key]))
	}
	return v.headers[key][0]
}

// Optional returns a header that stands once at most, or def.
func (v *Vector) Optional(t testing.TB, key, def string) string {
	t.Helper()
	if len(v.headers[key]) == 0 {
		return def
	}
	return v.Get(t, key)
}

// All returns every value of a header.
func (v *Vector) All(key string) []string {
	v.used[key] = true
	return v.headers[key]
}

// Text returns the bytes of a header that stands exactly once.
func (v *Vector) Text(t testing.TB, key string) string {
	t.Helper()
	return v.Unquote(t, v.Get(t, key))
}

// Unquote evaluates joined and repeated Go strings.
func (v *Vector) Unquote(t testing.TB, expr string) string {
	t.Helper()
	var b strings.Builder
	for rest := expr; rest != ""; rest = strings.TrimPrefix(rest, " ") {
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			t.Fatalf("%s: not Go strings: %s", v.Name, expr)
		}
		rest = rest[len(quoted):]
		s, err := strconv.Unquote(quoted)
		if err != nil {
			t.Fatalf("%s: %v: %s", v.Name, err, quoted)
		}
		count := 1
		if strings.HasPrefix(rest, "*") {
			digits := rest[1:]
			if end := strings.IndexByte(digits, ' '); end >= 0 {
				digits = digits[:end]
			}
			if count, err = strconv.Atoi(digits); err != nil {
				t.Fatalf("%s: %v: %s", v.Name, err, expr)
			}
			rest = rest[1+len(digits):]
		}
		b.WriteString(strings.Repeat(s, count))
	}
	return b.String()
}

// WantError checks err against "expect:" and, if the vector has it, the whole
// text against "text:". It reports whether an error was expected.
func (v *Vector) WantError(t *testing.T, err error) bool {
	t.Helper()
	expect, comment := v.Get(t, "expect"), v.Get(t, "comment")
	if expect == "ok" {
		if err != nil {
			t.Fatalf("%s\ngot error %v, want none", comment, err)
		}
		return false
	}
	if v.sentinels[expect] == nil {
		t.Fatalf("unknown expectation %q", expect)
	}
	if err == nil {
		t.Fatalf("%s\ngot no error, want %s", comment, expect)
	}
	if !errors.Is(err, v.sentinels[expect]) {
		t.Fatalf("%s\ngot error %v, want %s", comment, err, expect)
	}
	for name, other := range v.sentinels {
		if name != expect && errors.Is(err, other) {
			t.Errorf("%s\nthe error is %s as well as %s", comment, name, expect)
		}
	}
	if want := v.Optional(t, "text", err.Error()); want != err.Error() {
		t.Errorf("%s\ngot text  %s\nwant text %s", comment, err, want)
	}
	if len(err.Error()) > 512 {
		t.Errorf("%s\nthe error text has %d bytes", comment, len(err.Error()))
	}
	return true
}

// WantText compares bytes and quotes both in the failure.
func WantText(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %.300q, want %.300q", what, got, want)
	}
}
