package wire_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/wire"
)

// A vector is one file of testdata/vectors/<codec>: lines of "key: value".
// Every vector has
//
//	comment:  why the case is there, as a sentence
//	expect:   "ok", or the name of the sentinel that the error must wrap
//
// and the further headers that its codec's test reads. Bytes are written as Go
// strings, of which several are joined and "a"*3 repeats: "x" "a"*3 "\n".
type vector struct {
	name    string
	headers map[string][]string
	used    map[string]bool
}

// sentinels are the errors that "expect:" may name.
var sentinels = map[string]error{
	"ErrAddress":             wire.ErrAddress,
	"ErrBase64":              wire.ErrBase64,
	"ErrBin":                 wire.ErrBin,
	"ErrCertificateTooLarge": wire.ErrCertificateTooLarge,
	"ErrClientCert":          wire.ErrClientCert,
	"ErrControlByte":         wire.ErrControlByte,
	"ErrCoreVersion":         wire.ErrCoreVersion,
	"ErrEmptyLine":           wire.ErrEmptyLine,
	"ErrEnvBool":             wire.ErrEnvBool,
	"ErrEnvControl":          wire.ErrEnvControl,
	"ErrEnvLength":           wire.ErrEnvLength,
	"ErrFieldCount":          wire.ErrFieldCount,
	"ErrLifeline":            wire.ErrLifeline,
	"ErrLineTooLong":         wire.ErrLineTooLong,
	"ErrMux":                 wire.ErrMux,
	"ErrNetRPC":              wire.ErrNetRPC,
	"ErrNetwork":             wire.ErrNetwork,
	"ErrNotHandshake":        wire.ErrNotHandshake,
	"ErrPort":                wire.ErrPort,
	"ErrPortRange":           wire.ErrPortRange,
	"ErrPrefixFlag":          wire.ErrPrefixFlag,
	"ErrProtocol":            wire.ErrProtocol,
	"ErrReattachFormat":      wire.ErrReattachFormat,
	"ErrReattachJSON":        wire.ErrReattachJSON,
	"ErrReattachLimit":       wire.ErrReattachLimit,
	"ErrReattachNumber":      wire.ErrReattachNumber,
	"ErrShortPrefix":         wire.ErrShortPrefix,
	"ErrTimeout":             wire.ErrTimeout,
	"ErrVersionList":         wire.ErrVersionList,
	"ErrVersionSyntax":       wire.ErrVersionSyntax,
	"ErrYamuxShort":          wire.ErrYamuxShort,
	"ErrYamuxType":           wire.ErrYamuxType,
	"ErrYamuxVersion":        wire.ErrYamuxVersion,
}

// loadVectors reads every vector of a codec and fails if there is none.
func loadVectors(t testing.TB, codec string) []*vector {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("..", "testdata", "vectors", codec, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Fatalf("no vectors for %s", codec)
	}
	var vectors []*vector
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		v := &vector{
			name:    strings.TrimSuffix(filepath.Base(path), ".txt"),
			headers: make(map[string][]string),
			used:    map[string]bool{"comment": true, "expect": true},
		}
		for line := range strings.Lines(string(text)) {
			key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
			if !ok {
				t.Fatalf("%s: line without a colon: %q", path, line)
			}
			v.headers[key] = append(v.headers[key], strings.TrimPrefix(value, " "))
		}
		if v.get(t, "comment") == "" {
			t.Fatalf("%s: empty comment", path)
		}
		if expect := v.get(t, "expect"); expect != "ok" && sentinels[expect] == nil {
			t.Fatalf("%s: unknown expectation %q", path, expect)
		}
		vectors = append(vectors, v)
	}
	return vectors
}

// runVectors runs check on every vector of a codec, as a subtest each. A
// header that check did not look at is a mistake in the vector.
func runVectors(t *testing.T, codec string, check func(t *testing.T, v *vector)) {
	for _, v := range loadVectors(t, codec) {
		t.Run(v.name, func(t *testing.T) {
			check(t, v)
			for _, key := range slices.Sorted(maps.Keys(v.headers)) {
				if !v.used[key] && !t.Failed() {
					t.Errorf("header %q is not used", key)
				}
			}
		})
	}
}

// get returns a header that stands exactly once.
func (v *vector) get(t testing.TB, key string) string {
	t.Helper()
	v.used[key] = true
	if len(v.headers[key]) != 1 {
		t.Fatalf("%s: header %q stands %d times, want once", v.name, key, len(v.headers[key]))
	}
	return v.headers[key][0]
}

// optional returns a header that stands once at most, or def.
func (v *vector) optional(t testing.TB, key, def string) string {
	t.Helper()
	if len(v.headers[key]) == 0 {
		return def
	}
	return v.get(t, key)
}

// all returns every value of a header.
func (v *vector) all(key string) []string {
	v.used[key] = true
	return v.headers[key]
}

// text returns the bytes of a header that stands exactly once.
func (v *vector) text(t testing.TB, key string) string {
	t.Helper()
	return unquote(t, v.name, v.get(t, key))
}

// unquote evaluates joined and repeated Go strings.
func unquote(t testing.TB, name, expr string) string {
	t.Helper()
	var b strings.Builder
	for rest := expr; rest != ""; rest = strings.TrimPrefix(rest, " ") {
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			t.Fatalf("%s: not Go strings: %s", name, expr)
		}
		rest = rest[len(quoted):]
		s, err := strconv.Unquote(quoted)
		if err != nil {
			t.Fatalf("%s: %v: %s", name, err, quoted)
		}
		count := 1
		if strings.HasPrefix(rest, "*") {
			digits := rest[1:]
			if end := strings.IndexByte(digits, ' '); end >= 0 {
				digits = digits[:end]
			}
			if count, err = strconv.Atoi(digits); err != nil {
				t.Fatalf("%s: %v: %s", name, err, expr)
			}
			rest = rest[1+len(digits):]
		}
		b.WriteString(strings.Repeat(s, count))
	}
	return b.String()
}

// wantError checks err against "expect:" and, if the vector has it, the whole
// text against "text:". It reports whether an error was expected.
func (v *vector) wantError(t *testing.T, err error) bool {
	t.Helper()
	expect, comment := v.get(t, "expect"), v.get(t, "comment")
	if expect == "ok" {
		if err != nil {
			t.Fatalf("%s\ngot error %v, want none", comment, err)
		}
		return false
	}
	if err == nil {
		t.Fatalf("%s\ngot no error, want %s", comment, expect)
	}
	if !errors.Is(err, sentinels[expect]) {
		t.Fatalf("%s\ngot error %v, want %s", comment, err, expect)
	}
	for name, other := range sentinels {
		if name != expect && errors.Is(err, other) {
			t.Errorf("%s\nthe error is %s as well as %s", comment, name, expect)
		}
	}
	if want := v.optional(t, "text", err.Error()); want != err.Error() {
		t.Errorf("%s\ngot text  %s\nwant text %s", comment, err, want)
	}
	if len(err.Error()) > 512 {
		t.Errorf("%s\nthe error text has %d bytes", comment, len(err.Error()))
	}
	return true
}

// wantText compares bytes and quotes both in the failure.
func wantText(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %.300q, want %.300q", what, got, want)
	}
}
