package yamux_test

import (
	"strconv"
	"testing"

	"github.com/tenonrpc/tenon/plugin/internal/yamux"
	"github.com/tenonrpc/tenon/testdata/vectors"
)

var headerErrors = map[string]error{"ErrYamuxShort": yamux.ErrShort, "ErrYamuxType": yamux.ErrType, "ErrYamuxVersion": yamux.ErrVersion}

func TestHeaderVectors(t *testing.T) {
	vectors.Run(t, "yamux", headerErrors, func(t *testing.T, v *vectors.Vector) {
		input := v.Text(t, "input")
		h, err := yamux.ParseHeader([]byte(input))
		if v.WantError(t, err) {
			if h != (yamux.Header{}) {
				t.Errorf("got %+v with the error, want the zero value", h)
			}
			return
		}
		vectors.WantText(t, "type", h.Type.String(), v.Get(t, "type"))
		vectors.WantText(t, "flags", strconv.Itoa(int(h.Flags)), v.Get(t, "flags"))
		vectors.WantText(t, "stream", strconv.FormatUint(uint64(h.StreamID), 10), v.Get(t, "stream"))
		vectors.WantText(t, "length", strconv.FormatUint(uint64(h.Length), 10), v.Get(t, "length"))
		vectors.WantText(t, "header", string(h.Append(nil)), input)
	})
}

func TestTypeString(t *testing.T) {
	vectors.WantText(t, "an unknown type", yamux.Type(9).String(), "Type(9)")
}

func FuzzHeader(f *testing.F) {
	for _, v := range vectors.Load(f, "yamux") {
		f.Add([]byte(v.Text(f, "input")))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := yamux.ParseHeader(b)
		if err != nil {
			if len(b) >= yamux.HeaderLen && b[0] == 0 && b[1] <= 3 {
				t.Fatalf("%q is refused: %v", b, err)
			}
			return
		}
		vectors.WantText(t, "header", string(h.Append(nil)), string(b[:yamux.HeaderLen]))
	})
}
