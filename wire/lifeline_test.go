package wire_test

import (
	"testing"

	"github.com/tenonrpc/tenon/testdata/vectors"
	"github.com/tenonrpc/tenon/wire"
)

func TestLifelineVectors(t *testing.T) {
	vectors.Run(t, "lifeline", sentinels, func(t *testing.T, v *vectors.Vector) {
		l, err := wire.ParseLifeline(v.Text(t, "input"))
		if v.WantError(t, err) {
			return
		}
		vectors.WantText(t, "canonical form", string(l.Append(nil)), v.Text(t, "canonical"))
	})
}

func FuzzLifeline(f *testing.F) {
	for _, v := range vectors.Load(f, "lifeline") {
		f.Add(v.Text(f, "input"))
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := wire.ParseLifeline(s)
		if err != nil {
			return
		}
		again, err := wire.ParseLifeline(string(l.Append(nil)))
		if err != nil || again != l {
			t.Fatalf("%q reads as %+v, its canonical form as %+v, %v", s, l, again, err)
		}
	})
}
