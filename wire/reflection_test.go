package wire_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/wire"
)

var reflectionMessages = map[string]func() protoMessage{
	"ReflectionRequest":  func() protoMessage { return new(wire.ReflectionRequest) },
	"ReflectionResponse": func() protoMessage { return new(wire.ReflectionResponse) },
}

func TestReflectionVectors(t *testing.T) {
	runMessageVectors(t, "reflection", reflectionMessages)
}

func FuzzReflection(f *testing.F) {
	for _, v := range readMessageVectors(f, "reflection") {
		f.Add(v.input)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		for _, newMessage := range reflectionMessages {
			checkRoundTrip(t, input, newMessage)
		}
	})
}

// TestReflectionItemsLimit fills each list of a response to its limit and past
// it, in both directions.
func TestReflectionItemsLimit(t *testing.T) {
	for _, c := range []struct {
		list string
		make func(n int) *wire.ReflectionResponse
	}{
		{"files", func(n int) *wire.ReflectionResponse {
			files := make([][]byte, n)
			for i := range files {
				files[i] = []byte{} // as parsed
			}
			return &wire.ReflectionResponse{Kind: wire.ReflectionFiles, Files: files}
		}},
		{"extension numbers", func(n int) *wire.ReflectionResponse {
			return &wire.ReflectionResponse{Kind: wire.ReflectionExtensionNumbers, ExtensionNumbers: make([]int32, n)}
		}},
		{"services", func(n int) *wire.ReflectionResponse {
			return &wire.ReflectionResponse{Kind: wire.ReflectionServices, Services: make([]string, n)}
		}},
	} {
		t.Run(c.list, func(t *testing.T) {
			full := c.make(wire.MaxReflectionItems)
			b, err := full.AppendTo(nil)
			if err != nil {
				t.Fatalf("a full list: %v", err)
			}
			var got wire.ReflectionResponse
			if err := got.UnmarshalFrom(b); err != nil {
				t.Fatalf("a full list: %v", err)
			}
			if !reflect.DeepEqual(&got, full) {
				t.Error("a full list came back different")
			}
			// The same kind again adds to the list, as protobuf's merging
			// wants; that must not go past the limit.
			one, err := c.make(1).AppendTo(nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := got.UnmarshalFrom(append(b, one...)); !errors.Is(err, wire.ErrTooLong) {
				t.Errorf("parsing one item too many gave %v", err)
			}
			b, err = c.make(wire.MaxReflectionItems + 1).AppendTo([]byte("before"))
			if !errors.Is(err, wire.ErrTooLong) || string(b) != "before" {
				t.Errorf("appending one item too many gave %d bytes, %v", len(b), err)
			}
		})
	}
}

// TestReflectionAppendErrors appends what UnmarshalFrom would refuse.
func TestReflectionAppendErrors(t *testing.T) {
	const bad = "\xff"
	long := strings.Repeat("a", wire.MaxReflectionName+1)
	for _, c := range []struct {
		m    protoMessage
		want error
	}{
		{&wire.ReflectionRequest{Host: long}, wire.ErrTooLong},
		{&wire.ReflectionRequest{Host: bad}, wire.ErrUTF8},
		{&wire.ReflectionRequest{Kind: wire.ReflectionFileByFilename, Name: long}, wire.ErrTooLong},
		{&wire.ReflectionRequest{Kind: wire.ReflectionFileContainingExtension, Name: bad}, wire.ErrUTF8},
		{&wire.ReflectionResponse{ValidHost: bad}, wire.ErrUTF8},
		{&wire.ReflectionResponse{OriginalRequest: &wire.ReflectionRequest{Host: bad}}, wire.ErrUTF8},
		{&wire.ReflectionResponse{Kind: wire.ReflectionExtensionNumbers, TypeName: bad}, wire.ErrUTF8},
		{&wire.ReflectionResponse{Kind: wire.ReflectionServices, Services: []string{"ok", long}}, wire.ErrTooLong},
		{&wire.ReflectionResponse{Kind: wire.ReflectionError, ErrorMessage: bad}, wire.ErrUTF8},
		{&wire.ReflectionResponse{Kind: wire.ReflectionError, ErrorMessage: strings.Repeat("a", wire.MaxReflectionError+1)}, wire.ErrTooLong},
	} {
		b, err := c.m.AppendTo([]byte("before"))
		if !errors.Is(err, c.want) || string(b) != "before" {
			t.Errorf("%T: AppendTo gave %q, %v, want %v", c.m, b, err, c.want)
		}
	}
}
