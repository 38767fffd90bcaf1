package hostwire_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/plugin/internal/hostwire"
	"github.com/tenonrpc/tenon/testdata/vectors"
	"github.com/tenonrpc/tenon/wire"
)

// variables reads headers of the form "NAME quoted".
func variables(t testing.TB, v *vectors.Vector, key string) []string {
	t.Helper()
	var env []string
	for _, line := range v.All(key) {
		name, value, _ := strings.Cut(line, " ")
		env = append(env, name+"="+v.Unquote(t, value))
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

// TestEnvVectors writes what plugins read from each vector that they can read.
func TestEnvVectors(t *testing.T) {
	written := 0
	for _, v := range vectors.Load(t, "env") {
		if v.Get(t, "expect") != "ok" {
			continue
		}
		written++
		e, err := wire.ParseEnv(lookupIn(variables(t, v, "env")))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := hostwire.AppendEnv(nil, e), variables(t, v, "canonical"); !slices.Equal(got, want) {
			t.Errorf("%s: got %.300q, want %.300q", v.Name, got, want)
		}
	}
	if written == 0 {
		t.Error("no vector can be read")
	}
}

func TestStripEnv(t *testing.T) {
	env := []string{
		"PATH=/bin", "PLUGIN_CLIENT_CERT=x", "PLUGIN_SOMETHING_NEW=1", "TENON_LIFELINE=3:1:1",
		"MY_PLUGIN_DIR=/p", "PLUGIN=1", "TF_REATTACH_PROVIDERS={}", "NOVALUE",
		"PLUGIN_CLIENT_CERTS=1", "PLUGIN_MIN_PORT", "TENON_NEW=1",
	}
	before := slices.Clone(env)
	got := hostwire.StripEnv(env)
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
	for _, entry := range hostwire.AppendEnv(nil, e) {
		name, _, _ := strings.Cut(entry, "=")
		names = append(names, name)
	}
	if !slices.Equal(names, wire.EnvNames()) {
		t.Errorf("Append writes %q, EnvNames says %q", names, wire.EnvNames())
	}
	if left := hostwire.StripEnv(hostwire.AppendEnv(nil, e)); len(left) != 0 {
		t.Errorf("StripEnv leaves %q", left)
	}
}

func FuzzEnv(f *testing.F) {
	names := wire.EnvNames()
	for _, v := range vectors.Load(f, "env") {
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
			return
		}
		again, err := wire.ParseEnv(lookupIn(hostwire.AppendEnv(nil, e)))
		if err != nil {
			t.Fatalf("the canonical form of %q is refused: %v", env, err)
		}
		if !reflect.DeepEqual(e, again) {
			t.Fatalf("%q reads as %+v, its canonical form as %+v", env, e, again)
		}
	})
}
