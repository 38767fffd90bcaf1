package hostwire_test

import (
	"bytes"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/plugin/internal/hostwire"
	"github.com/tenonrpc/tenon/testdata/vectors"
	"github.com/tenonrpc/tenon/wire"
)

func TestHandshakeVectors(t *testing.T) {
	vectors.Run(t, "handshake", sentinels, func(t *testing.T, v *vectors.Vector) {
		input := []byte(v.Text(t, "input"))
		h, err := hostwire.ParseHandshake(input)
		if v.WantError(t, err) {
			if !reflect.DeepEqual(h, wire.Handshake{}) {
				t.Errorf("got %+v with the error, want the zero value", h)
			}
			v.Get(t, "text") // people rely on the text, too
			wantHandshakeError(t, err)
			return
		}
		vectors.WantText(t, "canonical form", string(h.Append(nil)), v.Text(t, "canonical"))
		mux, err := hostwire.Multiplexed(h)
		if want := v.Get(t, "multiplexed"); sentinels[want] != nil {
			if !errors.Is(err, sentinels[want]) || mux {
				t.Errorf("Multiplexed gave %v, %v, want %s", mux, err, want)
			}
			wantHandshakeError(t, err)
		} else if err != nil || strconv.FormatBool(mux) != want {
			t.Errorf("Multiplexed gave %v, %v, want %s", mux, err, want)
		}
	})
}

// wantHandshakeError checks that the error carries its data, quoted and bounded.
func wantHandshakeError(t *testing.T, err error) {
	t.Helper()
	var he *hostwire.HandshakeError
	if !errors.As(err, &he) {
		t.Fatalf("got %T, want a *HandshakeError", err)
	}
	if he.Field == "" || !strings.HasPrefix(he.Value, `"`) || len(he.Value) > 300 {
		t.Errorf("got field %q and value %q, want a name and a bounded quoted value", he.Field, he.Value)
	}
}

func TestHandshakeFields(t *testing.T) {
	der := bytes.Repeat([]byte{0x30, 0x82}, 40)
	want := wire.Handshake{
		CoreVersion: wire.CoreVersion, AppVersion: 6, Network: wire.NetworkUnix,
		Address: "/tmp/plugin1", Protocol: wire.ProtocolGRPC, Certificate: der, Mux: "true",
	}
	got, err := hostwire.ParseHandshake(want.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("every field survives:\ngot  %+v\nwant %+v", got, want)
	}
}

func TestHandshakeAppendWritesTheCoreVersion(t *testing.T) {
	h := wire.Handshake{AppVersion: 2, Network: "tcp", Address: "127.0.0.1:1", Protocol: "grpc"}
	vectors.WantText(t, "line", string(h.Append([]byte("> "))), "> 1|2|tcp|127.0.0.1:1|grpc|\n")
}

func TestParseHandshakeKeepsNothing(t *testing.T) {
	line := []byte("1|5|unix|/tmp/plugin|grpc|" + strings.Repeat("A", 80))
	h, err := hostwire.ParseHandshake(line)
	if err != nil {
		t.Fatal(err)
	}
	before := string(h.Append(nil))
	for i := range line {
		line[i] = 'x'
	}
	vectors.WantText(t, "line after the buffer was used again", string(h.Append(nil)), before)
}

func FuzzHandshake(f *testing.F) {
	for _, v := range vectors.Load(f, "handshake") {
		f.Add([]byte(v.Text(f, "input")))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		h, err := hostwire.ParseHandshake(line)
		if err != nil {
			wantHandshakeError(t, err)
			return
		}
		canonical := h.Append(nil)
		again, err := hostwire.ParseHandshake(canonical)
		if err != nil {
			t.Fatalf("the canonical form %q of %q is refused: %v", canonical, line, err)
		}
		if !reflect.DeepEqual(h, again) {
			t.Fatalf("%q reads as %+v, its canonical form as %+v", line, h, again)
		}
		if !bytes.Equal(canonical, again.Append(nil)) {
			t.Fatalf("the canonical form of %q is not stable", line)
		}
	})
}

func TestUnspeakable(t *testing.T) {
	for path, want := range map[string]int{
		"": -1, "/tmp/a b/ü": -1, "/a|b": 2, "/a\nb": 2, "\x00": 0, "/tmp/\x1b[2J": 5, "/\x7f|": 1,
	} {
		if got := wire.Unspeakable(path); got != want {
			t.Errorf("%q: %d, want %d", path, got, want)
		}
		h := wire.Handshake{AppVersion: 1, Network: wire.NetworkUnix, Address: path, Protocol: wire.ProtocolGRPC}
		parsed, err := hostwire.ParseHandshake(h.Append(nil))
		if told := err == nil && parsed.Address == path; path != "" && told != (want < 0) {
			t.Errorf("%q: it can be told: %v (%v)", path, told, err)
		}
	}
}
