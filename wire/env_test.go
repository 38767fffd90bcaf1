package wire_test

import (
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

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

func TestEnvVectors(t *testing.T) {
	vectors.Run(t, "env", sentinels, func(t *testing.T, v *vectors.Vector) {
		e, err := wire.ParseEnv(lookupIn(variables(t, v, "env")))
		if v.WantError(t, err) {
			if !reflect.DeepEqual(e, wire.Env{}) {
				t.Errorf("got %+v with the error, want the zero value", e)
			}
			v.Get(t, "text") // people rely on the text, too
			wantEnvError(t, err)
			return
		}
		// Package hostwire tests that hosts write this.
		again, err := wire.ParseEnv(lookupIn(variables(t, v, "canonical")))
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Errorf("the canonical form reads as %+v, %v, want %+v", again, err, e)
		}
		mux, err := e.Multiplexed()
		if want := v.Optional(t, "multiplexed", "false"); err != nil || strconv.FormatBool(mux) != want {
			t.Errorf("Multiplexed gave %v, %v, want %s", mux, err, want)
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
