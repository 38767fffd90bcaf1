package wire_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/testdata/vectors"
	"github.com/tenonrpc/tenon/wire"
	"github.com/tenonrpc/tenon/wire/fields"
	"google.golang.org/protobuf/reflect/protoreflect"
)

var (
	connInfoMessages = map[string]func() vectors.Codec{
		"ConnInfo": func() vectors.Codec { return new(wire.ConnInfo) },
	}
	stdioMessages = map[string]func() vectors.Codec{
		"StdioData": func() vectors.Codec { return new(wire.StdioData) },
		"Empty":     func() vectors.Codec { return new(wire.Empty) },
	}
)

func TestConnInfoVectors(t *testing.T) { vectors.RunMessages(t, "conninfo", connInfoMessages) }
func TestStdioVectors(t *testing.T)    { vectors.RunMessages(t, "stdio", stdioMessages) }

// fuzzMessages checks that what can be parsed can be appended and parsed again, and that
// the result is the same with protobuf's own implementation.
func fuzzMessages(f *testing.F, folder string, types map[string]func() vectors.Codec) {
	for _, v := range vectors.LoadMessages(f, folder) {
		f.Add(v.Input)
	}
	file, err := controlFile()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		for name, newMessage := range types {
			vectors.AgainstProtobuf(t, file.Messages().ByName(protoreflect.Name(name)), input, newMessage())
			vectors.RoundTrip(t, input, newMessage)
		}
	})
}

func FuzzConnInfo(f *testing.F) { fuzzMessages(f, "conninfo", connInfoMessages) }
func FuzzStdio(f *testing.F)    { fuzzMessages(f, "stdio", stdioMessages) }

// TestAppendRefuses checks that AppendTo refuses what could not be parsed, and leaves the
// buffer as it was.
func TestAppendRefuses(t *testing.T) {
	long := strings.Repeat("a", wire.MaxAddress+1)
	for name, c := range map[string]struct {
		message vectors.Codec
		want    error
	}{
		"long network":      {&wire.ConnInfo{Network: long}, fields.ErrTooLong},
		"long address":      {&wire.ConnInfo{Address: long}, fields.ErrTooLong},
		"address not UTF-8": {&wire.ConnInfo{Address: "\xff"}, fields.ErrUTF8},
		"long knock error":  {&wire.ConnInfo{Knock: &wire.Knock{Error: long}}, fields.ErrTooLong},
		"knock not UTF-8":   {&wire.ConnInfo{Knock: &wire.Knock{Error: "\xff"}}, fields.ErrUTF8},
	} {
		b, err := c.message.AppendTo([]byte("before"))
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		vectors.WantText(t, name, string(b), "before")
	}
}
