package host_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/internal/hostwire"
	"github.com/tenonrpc/tenon/testdata/vectors"
	"github.com/tenonrpc/tenon/wire"
)

var recordErrors = map[string]error{
	"ErrAddress":             hostwire.ErrAddress,
	"ErrCertificateTooLarge": hostwire.ErrCertificateTooLarge,
	"ErrNetRPC":              hostwire.ErrNetRPC,
	"ErrNetwork":             hostwire.ErrNetwork,
	"ErrProtocol":            hostwire.ErrProtocol,
	"ErrReattachFormat":      host.ErrReattachFormat,
	"ErrReattachJSON":        host.ErrReattachJSON,
	"ErrReattachLimit":       host.ErrReattachLimit,
	"ErrReattachNumber":      host.ErrReattachNumber,
}

func TestProvidersVectors(t *testing.T) {
	vectors.Run(t, "reattach", recordErrors, func(t *testing.T, v *vectors.Vector) {
		plugins, err := host.ParseProviders(v.Text(t, "input"))
		if v.WantError(t, err) {
			if plugins != nil {
				t.Errorf("got %v with the error, want nil", plugins)
			}
			if !strings.HasPrefix(err.Error(), "host: a variable such as "+wire.EnvReattach+": ") {
				t.Errorf("the error does not name its variable: %v", err)
			}
			return
		}
		got, err := host.FormatProviders(plugins)
		if err != nil {
			t.Fatal(err)
		}
		vectors.WantText(t, "canonical form", got, v.Text(t, "canonical"))
	})
}

func TestRecordVectors(t *testing.T) {
	vectors.Run(t, "reattachrecord", recordErrors, func(t *testing.T, v *vectors.Vector) {
		r, err := host.ParseRecord([]byte(v.Text(t, "input")))
		if v.WantError(t, err) {
			if r != nil {
				t.Errorf("got %+v with the error, want nil", r)
			}
			return
		}
		vectors.WantText(t, "canonical form", string(host.AppendRecord(nil, r)), v.Text(t, "canonical"))
	})
}

func FuzzProviders(f *testing.F) {
	for _, v := range vectors.Load(f, "reattach") {
		f.Add(v.Text(f, "input"))
	}
	f.Fuzz(func(t *testing.T, s string) {
		plugins, err := host.ParseProviders(s)
		if err != nil {
			return
		}
		canonical, err := host.FormatProviders(plugins)
		if err != nil {
			t.Fatal(err)
		}
		again, err := host.ParseProviders(canonical)
		if err != nil || !reflect.DeepEqual(again, plugins) {
			t.Fatalf("%q reads as %v, its canonical form %q as %v, %v", s, plugins, canonical, again, err)
		}
	})
}

func FuzzRecord(f *testing.F) {
	for _, v := range vectors.Load(f, "reattachrecord") {
		f.Add([]byte(v.Text(f, "input")))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := host.ParseRecord(b)
		if err != nil {
			return
		}
		canonical := host.AppendRecord(nil, r)
		again, err := host.ParseRecord(canonical)
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%q reads as %v, its canonical form %q as %v, %v", b, r, canonical, again, err)
		}
	})
}
