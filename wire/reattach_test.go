package wire_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/wire"
)

func TestReattachVectors(t *testing.T) {
	runVectors(t, "reattach", func(t *testing.T, v *vector) {
		plugins, err := wire.ParseReattach(v.text(t, "input"))
		if v.wantError(t, err) {
			if plugins != nil {
				t.Errorf("got %v with the error, want nil", plugins)
			}
			if !strings.HasPrefix(err.Error(), wire.EnvReattach+": ") {
				t.Errorf("the error does not name its variable: %v", err)
			}
			return
		}
		wantText(t, "canonical form", string(wire.AppendReattach(nil, plugins)), v.text(t, "canonical"))
	})
}

func TestReattachRecordVectors(t *testing.T) {
	runVectors(t, "reattachrecord", func(t *testing.T, v *vector) {
		r, err := wire.ParseReattachRecord([]byte(v.text(t, "input")))
		if v.wantError(t, err) {
			if !reflect.DeepEqual(r, wire.ReattachRecord{}) {
				t.Errorf("got %+v with the error, want the zero value", r)
			}
			return
		}
		wantText(t, "canonical form", string(r.Append(nil)), v.text(t, "canonical"))
	})
}

func FuzzReattach(f *testing.F) {
	for _, v := range loadVectors(f, "reattach") {
		f.Add(v.text(f, "input"))
	}
	f.Fuzz(func(t *testing.T, s string) {
		plugins, err := wire.ParseReattach(s)
		if err != nil {
			return
		}
		canonical := string(wire.AppendReattach(nil, plugins))
		again, err := wire.ParseReattach(canonical)
		if err != nil || !reflect.DeepEqual(again, plugins) {
			t.Fatalf("%q reads as %v, its canonical form %q as %v, %v", s, plugins, canonical, again, err)
		}
	})
}

func FuzzReattachRecord(f *testing.F) {
	for _, v := range loadVectors(f, "reattachrecord") {
		f.Add([]byte(v.text(f, "input")))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := wire.ParseReattachRecord(b)
		if err != nil {
			return
		}
		canonical := r.Append(nil)
		again, err := wire.ParseReattachRecord(canonical)
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%q reads as %v, its canonical form %q as %v, %v", b, r, canonical, again, err)
		}
	})
}

func TestLifelineVectors(t *testing.T) {
	runVectors(t, "lifeline", func(t *testing.T, v *vector) {
		l, err := wire.ParseLifeline(v.text(t, "input"))
		if v.wantError(t, err) {
			return
		}
		wantText(t, "canonical form", string(l.Append(nil)), v.text(t, "canonical"))
	})
}

func FuzzLifeline(f *testing.F) {
	for _, v := range loadVectors(f, "lifeline") {
		f.Add(v.text(f, "input"))
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
