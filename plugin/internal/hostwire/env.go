package hostwire

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tenonrpc/tenon/wire"
)

// AppendEnv appends "NAME=value" entries for the fields that are set, always in the same
// order. Versions are written without spaces, which go-plugin's plugins cannot read.
// Package wire parses the entries.
func AppendEnv(env []string, e wire.Env) []string {
	if e.MinPort != 0 {
		env = append(env, wire.EnvMinPort+"="+strconv.Itoa(e.MinPort))
	}
	if e.MaxPort != 0 {
		env = append(env, wire.EnvMaxPort+"="+strconv.Itoa(e.MaxPort))
	}
	if len(e.Versions) > 0 {
		list := []byte(wire.EnvProtocolVersions + "=")
		for i, v := range e.Versions {
			if i > 0 {
				list = append(list, ',')
			}
			list = strconv.AppendInt(list, int64(v), 10)
		}
		env = append(env, string(list))
	}
	for _, text := range []struct{ name, value string }{
		{wire.EnvClientCert, e.ClientCert},
		{wire.EnvMultiplex, e.Multiplex},
		{wire.EnvUnixSocketDir, e.UnixSocketDir},
		{wire.EnvUnixSocketGroup, e.UnixSocketGroup},
		{wire.EnvLifeline, e.Lifeline},
		{wire.EnvStdout, e.Stdout},
		{wire.EnvStderr, e.Stderr},
	} {
		if text.value != "" {
			env = append(env, text.name+"="+text.value)
		}
	}
	return env
}

// StripEnv returns a copy of env, a list of "NAME=value" entries, without the protocol's
// variables: those of wire.EnvNames, and every name that begins with TENON_. A host that
// is itself a plugin must not pass its own to the plugins that it starts: a leaked
// certificate or multiplexing flag breaks the next plugin. Other names that begin with
// PLUGIN_ belong to applications: some libraries' plugins are configured by them.
func StripEnv(env []string) []string {
	kept := make([]string, 0, len(env))
	for _, entry := range env {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, wire.EnvOwn) && !slices.Contains(wire.EnvNames(), name) {
			kept = append(kept, entry)
		}
	}
	return kept
}
