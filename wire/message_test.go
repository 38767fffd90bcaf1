package wire_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/wire"
)

var (
	connInfoMessages = map[string]func() protoMessage{
		"ConnInfo": func() protoMessage { return new(wire.ConnInfo) },
		"Knock":    func() protoMessage { return new(wire.Knock) },
	}
	stdioMessages = map[string]func() protoMessage{
		"StdioData": func() protoMessage { return new(wire.StdioData) },
		"Empty":     func() protoMessage { return new(wire.Empty) },
	}
	statusMessages = map[string]func() protoMessage{
		"Status": func() protoMessage { return new(wire.Status) },
		"Any":    func() protoMessage { return new(wire.Any) },
	}
)

func TestConnInfoVectors(t *testing.T) { runMessageVectors(t, "conninfo", connInfoMessages) }
func TestStdioVectors(t *testing.T)    { runMessageVectors(t, "stdio", stdioMessages) }
func TestStatusVectors(t *testing.T)   { runMessageVectors(t, "status", statusMessages) }

// fuzzMessages checks that what is parsed can be appended and parsed again,
// and that the result is what protobuf's own implementation makes of it.
func fuzzMessages(f *testing.F, folder string, types map[string]func() protoMessage) {
	for _, v := range readMessageVectors(f, folder) {
		f.Add(v.input)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		for name, newMessage := range types {
			checkAgainstProtobuf(t, name, input, newMessage())
			checkRoundTrip(t, input, newMessage)
		}
	})
}

func FuzzConnInfo(f *testing.F) { fuzzMessages(f, "conninfo", connInfoMessages) }
func FuzzStdio(f *testing.F)    { fuzzMessages(f, "stdio", stdioMessages) }
func FuzzStatus(f *testing.F)   { fuzzMessages(f, "status", statusMessages) }

// TestAppendRefuses checks that what could not be parsed is not sent either,
// and that the buffer is then as it was.
func TestAppendRefuses(t *testing.T) {
	long := strings.Repeat("a", wire.MaxAddress+1)
	for name, c := range map[string]struct {
		message protoMessage
		want    error
	}{
		"long network":         {&wire.ConnInfo{Network: long}, wire.ErrTooLong},
		"long address":         {&wire.ConnInfo{Address: long}, wire.ErrTooLong},
		"address not UTF-8":    {&wire.ConnInfo{Address: "\xff"}, wire.ErrUTF8},
		"long knock error":     {&wire.ConnInfo{Knock: &wire.Knock{Error: long}}, wire.ErrTooLong},
		"knock not UTF-8":      {&wire.Knock{Error: "\xff"}, wire.ErrUTF8},
		"message not UTF-8":    {&wire.Status{Message: "\xff"}, wire.ErrUTF8},
		"type URL not UTF-8":   {&wire.Any{TypeURL: "\xff"}, wire.ErrUTF8},
		"detail not UTF-8":     {&wire.Status{Code: 1, Details: []wire.Any{{TypeURL: "\xff"}}}, wire.ErrUTF8},
		"more than 1024 of it": {&wire.Status{Details: make([]wire.Any, wire.MaxStatusDetails+1)}, wire.ErrTooLong},
	} {
		b, err := c.message.AppendTo([]byte("before"))
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		wantText(t, name, string(b), "before")
	}
}

func TestChannelString(t *testing.T) {
	for channel, want := range map[wire.Channel]string{
		wire.ChannelInvalid: "INVALID",
		wire.ChannelStdout:  "STDOUT",
		wire.ChannelStderr:  "STDERR",
		-1:                  "Channel(-1)",
	} {
		wantText(t, "channel", channel.String(), want)
	}
}
