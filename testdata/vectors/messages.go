package vectors

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/tenonrpc/tenon/wire/fields"
)

// Codec is what every message that is coded by hand implements.
type Codec interface {
	AppendTo([]byte) ([]byte, error)
	UnmarshalFrom([]byte) error
}

// A Message is a file of testdata/vectors/<folder> about a protobuf message:
// headers, an empty line, and the message's bytes in hexadecimal, in which "61*3" means
// three bytes 61.
//
//	comment:   why the case is there
//	message:   the message's type
//	expect:    the value as JSON, or "error: " and the sentinel's text
//	canonical: the bytes that the value is appended as; without it, the input
type Message struct {
	Input                          []byte
	name, comment, message, expect string
	canonical                      []byte
}

// LoadMessages reads the vectors of a folder of testdata/vectors. It
// fails when there are none.
func LoadMessages(t testing.TB, folder string) []Message {
	t.Helper()
	var vectors []Message
	texts := files(t, folder)
	for _, path := range slices.Sorted(maps.Keys(texts)) {
		head, body, found := strings.Cut(texts[path], "\n\n")
		if !found {
			t.Fatalf("%s: no empty line after the headers", path)
		}
		v := Message{name: folder + "/" + filepath.Base(path), Input: parseHex(t, path, body)}
		v.canonical = v.Input
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

// RunMessages runs every vector of a folder. types makes the messages
// that the vectors may name; each of them needs a vector.
func RunMessages(t *testing.T, folder string, types map[string]func() Codec) {
	used := make(map[string]bool)
	for _, v := range LoadMessages(t, folder) {
		newMessage := types[v.message]
		if newMessage == nil {
			t.Errorf("%s: unknown message %q", v.name, v.message)
			continue
		}
		used[v.message] = true
		t.Run(v.name, func(t *testing.T) { runMessage(t, v, newMessage) })
	}
	for name := range types {
		if !used[name] {
			t.Errorf("no vector of %s", name)
		}
	}
}

func runMessage(t *testing.T, v Message, newMessage func() Codec) {
	got := newMessage()
	err := got.UnmarshalFrom(v.Input)
	if want, wantError := strings.CutPrefix(v.expect, "error: "); wantError {
		sentinel := map[string]error{
			"malformed": fields.ErrMessage, "too long": fields.ErrTooLong, "not UTF-8": fields.ErrUTF8,
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

// RoundTrip is the property of the fuzz targets: what is parsed can be
// appended, and parses as the same value again, whatever the message held
// before; and it appends the same bytes again.
func RoundTrip(t *testing.T, input []byte, newMessage func() Codec) {
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

// AgainstProtobuf wants the hand-written message to take and refuse the same
// bytes as protobuf's own implementation, our limits apart, and to append the
// same bytes for them.
func AgainstProtobuf(t *testing.T, m protoreflect.MessageDescriptor, input []byte, ours Codec) {
	t.Helper()
	theirs := dynamicpb.NewMessage(m)
	theirErr := proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(input, theirs)
	ourErr := ours.UnmarshalFrom(input)
	if errors.Is(ourErr, fields.ErrTooLong) {
		return
	}
	if (ourErr == nil) != (theirErr == nil) {
		t.Fatalf("%s %x: we say %v, protobuf says %v", m.Name(), input, ourErr, theirErr)
	}
	if ourErr != nil {
		return
	}
	got, err := ours.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := proto.MarshalOptions{Deterministic: true}.Marshal(theirs)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%s %x: we append %x, protobuf %x", m.Name(), input, got, want)
	}
}
