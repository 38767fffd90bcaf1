package wire_test

import (
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/wire"
)

// variables reads headers of the form "NAME quoted".
func variables(t testing.TB, v *vector, key string) []string {
	t.Helper()
	var env []string
	for _, line := range v.all(key) {
		name, value, _ := strings.Cut(line, " ")
		env = append(env, name+"="+unquote(t, v.name, value))
	}
	return env
}

// lookupIn looks names up in a list of "NAME=value".
func lookupIn(env []string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, entry := range env {
			if value, ok := strings.CutPrefix(entry, name+"="); ok {
				return value, true
			}
		}
		return "", false
	}
}

func TestEnvVectors(t *testing.T) {
	runVectors(t, "env", func(t *testing.T, v *vector) {
		e, err := wire.ParseEnv(lookupIn(variables(t, v, "env")))
		if v.wantError(t, err) {
			if !reflect.DeepEqual(e, wire.Env{}) {
				t.Errorf("got %+v with the error, want the zero value", e)
			}
			v.get(t, "text") // the text is part of the interface to humans
			wantEnvError(t, err)
			return
		}
		if got, want := e.Append(nil), variables(t, v, "canonical"); !slices.Equal(got, want) {
			t.Errorf("canonical form: got %.300q, want %.300q", got, want)
		}
		if want := v.optional(t, "multiplexed", "false"); want != "" {
			mux, err := e.Multiplexed()
			if err != nil || strconv.FormatBool(mux) != want {
				t.Errorf("Multiplexed gave %v, %v, want %s", mux, err, want)
			}
		}
	})
}

func wantEnvError(t *testing.T, err error) {
	t.Helper()
	var ee *wire.EnvError
	if !errors.As(err, &ee) {
		t.Fatalf("got %T, want an *EnvError", err)
	}
	if !slices.Contains(wire.EnvNames(), ee.Name) || !strings.HasPrefix(ee.Value, `"`) || len(ee.Value) > 300 {
		t.Errorf("got name %q and value %q, want a variable and a bounded quoted value", ee.Name, ee.Value)
	}
}

func TestEnvMultiplexedOfABadValue(t *testing.T) {
	_, err := wire.Env{Multiplex: "maybe"}.Multiplexed()
	if !errors.Is(err, wire.ErrEnvBool) {
		t.Errorf("got %v, want ErrEnvBool", err)
	}
}

func TestStripEnv(t *testing.T) {
	env := []string{
		"PATH=/bin", "PLUGIN_CLIENT_CERT=x", "PLUGIN_SOMETHING_NEW=1", "TENON_LIFELINE=3:1:1",
		"MY_PLUGIN_DIR=/p", "PLUGIN=1", "TF_REATTACH_PROVIDERS={}", "NOVALUE",
		"PLUGIN_CLIENT_CERTS=1", "PLUGIN_MIN_PORT", "TENON_NEW=1",
	}
	before := slices.Clone(env)
	got := wire.StripEnv(env)
	want := []string{"PATH=/bin", "PLUGIN_SOMETHING_NEW=1", "MY_PLUGIN_DIR=/p", "PLUGIN=1", "TF_REATTACH_PROVIDERS={}", "NOVALUE", "PLUGIN_CLIENT_CERTS=1"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	got[0] = "changed"
	if !slices.Equal(env, before) {
		t.Errorf("the caller's list was changed to %q", env)
	}
}

func TestEnvNamesAreWhatAppendWrites(t *testing.T) {
	e := wire.Env{
		MinPort: 1, MaxPort: 2, Versions: []int{3}, ClientCert: "c", Multiplex: "true",
		UnixSocketDir: "/d", UnixSocketGroup: "g", Lifeline: "3:1:1", Stdout: "4:1:2", Stderr: "5:1:3",
	}
	var names []string
	for _, entry := range e.Append(nil) {
		name, _, _ := strings.Cut(entry, "=")
		names = append(names, name)
	}
	if !slices.Equal(names, wire.EnvNames()) {
		t.Errorf("Append writes %q, EnvNames says %q", names, wire.EnvNames())
	}
	if left := wire.StripEnv(e.Append(nil)); len(left) != 0 {
		t.Errorf("StripEnv leaves %q", left)
	}
}

func FuzzEnv(f *testing.F) {
	names := wire.EnvNames()
	for _, v := range loadVectors(f, "env") {
		lookup := lookupIn(variables(f, v, "env"))
		get := func(name string) string {
			value, _ := lookup(name)
			return value
		}
		f.Add(get(wire.EnvMinPort), get(wire.EnvMaxPort), get(wire.EnvProtocolVersions), get(wire.EnvClientCert),
			get(wire.EnvMultiplex), get(wire.EnvUnixSocketDir), get(wire.EnvUnixSocketGroup), get(wire.EnvLifeline), get(wire.EnvStdout), get(wire.EnvStderr))
	}
	f.Fuzz(func(t *testing.T, minPort, maxPort, versions, cert, mux, dir, group, lifeline, stdout, stderr string) {
		var env []string
		for i, value := range []string{minPort, maxPort, versions, cert, mux, dir, group, lifeline, stdout, stderr} {
			env = append(env, names[i]+"="+value)
		}
		e, err := wire.ParseEnv(lookupIn(env))
		if err != nil {
			wantEnvError(t, err)
			return
		}
		again, err := wire.ParseEnv(lookupIn(e.Append(nil)))
		if err != nil {
			t.Fatalf("the canonical form of %q is refused: %v", env, err)
		}
		if !reflect.DeepEqual(e, again) {
			t.Fatalf("%q reads as %+v, its canonical form as %+v", env, e, again)
		}
	})
}
