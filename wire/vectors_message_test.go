package wire_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/wire"
)

// protoMessage is what every hand-coded message of the package implements.
type protoMessage interface {
	AppendTo([]byte) ([]byte, error)
	UnmarshalFrom([]byte) error
}

// A messageVector is a file of testdata/vectors/health or reflection: headers,
// an empty line, and the message's bytes in hexadecimal, in which "61*3" means
// three bytes 61.
//
//	comment:   why the case is there
//	message:   the message's type
//	expect:    the value as JSON, or "error: " and the sentinel's text
//	canonical: the bytes that the value is appended as; without it, the input
type messageVector struct {
	name                     string
	comment, message, expect string
	input, canonical         []byte
}

// readMessageVectors reads the vectors of a folder of testdata/vectors. It
// fails when there are none.
func readMessageVectors(t testing.TB, folder string) []messageVector {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("..", "testdata", "vectors", folder, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Fatalf("no vectors in %s", folder)
	}
	var vectors []messageVector
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		head, body, found := strings.Cut(string(text), "\n\n")
		if !found {
			t.Fatalf("%s: no empty line after the headers", path)
		}
		v := messageVector{name: folder + "/" + filepath.Base(path), input: parseHex(t, path, body)}
		v.canonical = v.input
		for line := range strings.Lines(head) {
			key, value, _ := strings.Cut(line, ":")
			value = strings.TrimSpace(value)
			switch key {
			case "comment":
				v.comment = value
			case "message":
				v.message = value
			case "expect":
				v.expect = value
			case "canonical":
				v.canonical = parseHex(t, path, value)
			default:
				t.Fatalf("%s: unknown header %q", path, key)
			}
		}
		if v.comment == "" || v.expect == "" {
			t.Fatalf("%s: comment and expect are needed", path)
		}
		vectors = append(vectors, v)
	}
	return vectors
}

func parseHex(t testing.TB, path, text string) []byte {
	t.Helper()
	var out []byte
	for _, word := range strings.Fields(text) {
		word, count, repeated := strings.Cut(word, "*")
		n := 1
		if repeated {
			var err error
			if n, err = strconv.Atoi(count); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
		}
		b, err := hex.DecodeString(word)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		out = append(out, bytes.Repeat(b, n)...)
	}
	return out
}

// runMessageVectors runs every vector of a folder. types makes the messages
// that the vectors may name; each of them needs a vector.
func runMessageVectors(t *testing.T, folder string, types map[string]func() protoMessage) {
	used := make(map[string]bool)
	for _, v := range readMessageVectors(t, folder) {
		newMessage := types[v.message]
		if newMessage == nil {
			t.Errorf("%s: unknown message %q", v.name, v.message)
			continue
		}
		used[v.message] = true
		t.Run(v.name, func(t *testing.T) { runMessageVector(t, v, newMessage) })
	}
	for name := range types {
		if !used[name] {
			t.Errorf("no vector of %s", name)
		}
	}
}

func runMessageVector(t *testing.T, v messageVector, newMessage func() protoMessage) {
	got := newMessage()
	err := got.UnmarshalFrom(v.input)
	if want, wantError := strings.CutPrefix(v.expect, "error: "); wantError {
		sentinel := map[string]error{
			"malformed": wire.ErrMessage, "too long": wire.ErrTooLong, "not UTF-8": wire.ErrUTF8,
		}[want]
		if sentinel == nil {
			t.Fatalf("unknown error %q in the vector", want)
		}
		if !errors.Is(err, sentinel) {
			t.Fatalf("%s: UnmarshalFrom gave %v, want %v", v.comment, err, sentinel)
		}
		if !reflect.DeepEqual(got, newMessage()) {
			t.Errorf("%s: after an error the message is %+v, not the zero value", v.comment, got)
		}
		return
	}
	if err != nil {
		t.Fatalf("%s: UnmarshalFrom: %v", v.comment, err)
	}
	value, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if string(value) != v.expect {
		t.Errorf("%s: the value is %s, want %s", v.comment, value, v.expect)
	}
	prefix := []byte("before")
	out, err := got.AppendTo(prefix)
	if err != nil {
		t.Fatalf("%s: AppendTo: %v", v.comment, err)
	}
	if !bytes.Equal(out, append(prefix, v.canonical...)) {
		t.Errorf("%s: appended\n%x, want\n%x", v.comment, out[min(len(out), len(prefix)):], v.canonical)
	}
}

// checkRoundTrip is the property of the fuzz targets: what is parsed can be
// appended, and parses as the same value again, whatever the message held
// before; and it appends the same bytes again.
func checkRoundTrip(t *testing.T, input []byte, newMessage func() protoMessage) {
	input = bytes.Clone(input) // a fuzz target must not change its argument
	first := newMessage()
	if first.UnmarshalFrom(input) != nil {
		if !reflect.DeepEqual(first, newMessage()) {
			t.Fatalf("after an error the message is %+v, not the zero value", first)
		}
		return
	}
	canonical, err := first.AppendTo(nil)
	if err != nil {
		t.Fatalf("%+v was parsed, but AppendTo gave %v", first, err)
	}
	// Nothing of the input may be kept.
	clear(input)
	again, err := first.AppendTo(nil)
	if err != nil || !bytes.Equal(again, canonical) {
		t.Fatalf("the message changed with the input it was parsed from")
	}
	second := newMessage()
	if err := second.UnmarshalFrom(canonical); err != nil {
		t.Fatalf("%x, appended from %+v, does not parse: %v", canonical, first, err)
	}
	if !reflect.DeepEqual(first, second) {
		t.Fatalf("parsed %+v, appended and parsed again %+v", first, second)
	}
	if again, err = second.AppendTo(nil); err != nil || !bytes.Equal(again, canonical) {
		t.Fatalf("equal messages have the bytes %x and %x (%v)", canonical, again, err)
	}
}
