package wire_test

import (
	"strconv"
	"testing"

	"github.com/tenonrpc/tenon/wire"
)

func TestYamuxVectors(t *testing.T) {
	runVectors(t, "yamux", func(t *testing.T, v *vector) {
		input := v.text(t, "input")
		h, err := wire.ParseYamuxHeader([]byte(input))
		if v.wantError(t, err) {
			if h != (wire.YamuxHeader{}) {
				t.Errorf("got %+v with the error, want the zero value", h)
			}
			return
		}
		wantText(t, "type", h.Type.String(), v.get(t, "type"))
		wantText(t, "flags", strconv.Itoa(int(h.Flags)), v.get(t, "flags"))
		wantText(t, "stream", strconv.FormatUint(uint64(h.StreamID), 10), v.get(t, "stream"))
		wantText(t, "length", strconv.FormatUint(uint64(h.Length), 10), v.get(t, "length"))
		wantText(t, "header", string(h.Append(nil)), input)
	})
}

func TestYamuxTypeString(t *testing.T) {
	wantText(t, "an unknown type", wire.YamuxType(9).String(), "YamuxType(9)")
}

func FuzzYamux(f *testing.F) {
	for _, v := range loadVectors(f, "yamux") {
		f.Add([]byte(v.text(f, "input")))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := wire.ParseYamuxHeader(b)
		if err != nil {
			if len(b) >= wire.YamuxHeaderLen && b[0] == 0 && b[1] <= 3 {
				t.Fatalf("%q is refused: %v", b, err)
			}
			return
		}
		wantText(t, "header", string(h.Append(nil)), string(b[:wire.YamuxHeaderLen]))
	})
}
