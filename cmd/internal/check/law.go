package check

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strconv"
	"strings"
)

// layers is the order of dependencies: a package may import its own layer and those
// before it in this list, none after it.
var layers = [][]string{
	{"wire/fields"},
	{"wire"},
	{"h2grpc/codes", "h2grpc/status", "h2grpc/metadata", "h2grpc/peer", "h2grpc/connlimit", "h2grpc/loglimit", "h2grpc/internal/ctxkey", "h2grpc/internal/fastpath"},
	{"h2grpc/internal/h2"},
	{"h2grpc"},
	{"h2grpc/gzip", "h2grpc/health", "h2grpc/limit", "h2grpc/metrics", "h2grpc/reflection"},
	{"plugin/internal/*"},
	{"plugin", "plugin/certs", "plugin/sloghclog"},
	{"plugin/host"},
	{"plugin/plugintest", "plugin/host/supervise", "plugin/host/confine", "plugin/host/fleet", "plugin/host/metrics", "plugin/host/retry", "plugin/host/verify"},
	{"plugin/host/errcode"},
	{"cmd/internal/*"},
	{"cmd/*"},
}

// layer returns a package's place in layers, or -1.
func layer(dir string) int {
	for i, group := range layers {
		for _, pattern := range group {
			if ok, _ := path.Match(pattern, dir); ok {
				return i
			}
		}
	}
	return -1
}

// lawful checks the imports of the root module's packages against the layers.
// Tests may import what they like: they are not linked into anything.
func lawful(t *Tree) []Finding {
	var out []Finding
	for _, f := range t.Files {
		if f.Test || f.Nested {
			continue
		}
		at := layer(f.Dir)
		if at < 0 {
			out = append(out, Finding{f.Path, 1, "package " + f.Dir + " is missing from the order of dependencies: add it in cmd/internal/check/law.go"})
			continue
		}
		for _, spec := range f.Syntax.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			dir, ours := strings.CutPrefix(imported, Module+"/")
			if !ours {
				continue
			}
			if to := layer(dir); to < 0 || to > at {
				out = append(out, Finding{f.Path, t.line(spec), fmt.Sprintf("%s must not import %s: the order of dependencies is the other way round", f.Dir, dir)})
			}
		}
	}
	return out
}

// A place names imports and the only files that may have them, tests aside.
type place struct {
	imports string   // an import path; "x/..." stands for x and all below it
	allowed []string // files, or directories; "d/..." stands for d and all below it
	why     string
}

var places = []place{
	{"golang.org/x/net/...", []string{"h2grpc/internal/h2"}, "frames are read and written in h2grpc/internal/h2"},
	{"golang.org/x/net/http2", nil, "it imports net/http: the frames are ours to read and to write"},
	{"os/exec", []string{"plugin/host", "plugin/host/confine", "cmd/..."}, "a plugin's binary carries no host code"},
	{"os/signal", []string{"plugin", "cmd/..."}, "signals belong to the whole process"},
	{"net/http/...", nil, "the frames are ours to read and to write"},
	{"net/rpc/...", nil, "it is not for programs that face other people's processes"},
	{"text/template", nil, "it makes every plugin larger"},
	{"html/template", nil, "it makes every plugin larger"},
	{"expvar", nil, "it registers handlers when it is linked"},
	{"testing/...", []string{"plugin/plugintest"}, "test code stays out of programs"},
	{"unsafe", []string{"plugin/host/confine", "plugin/host/memfd_linux.go", "plugin/host/job_windows.go", "plugin/host/supervise/usage_windows.go", "plugin/internal/files/at_linux.go", "plugin/internal/winpipe"}, "nothing else needs it: Landlock and Windows' jobs take structures by pointer; memfd_create, unlinkat, fchmodat2 and CreateNamedPipe names"},
	{"plugin", nil, "it is not ours"},
}

// codecs are the packages that hold codecs alone.
var codecs = []string{"wire/fields", "wire", "plugin/internal/hostwire"}

// pure checks that codecs have no goroutines, clocks, environment, files or
// connections.
func pure(t *Tree) []Finding {
	var out []Finding
	for _, f := range t.Files {
		if f.Test || !slices.Contains(codecs, f.Dir) {
			continue
		}
		for _, spec := range f.Syntax.Imports {
			switch imported, _ := strconv.Unquote(spec.Path.Value); imported {
			case "context", "net", "os", "os/user", "io/fs", "log", "log/slog", "sync", "sync/atomic", "syscall":
				out = append(out, Finding{f.Path, t.line(spec), f.Dir + " must not import " + imported + ": it holds codecs over bytes"})
			}
		}
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			if _, ok := n.(*ast.GoStmt); ok {
				out = append(out, Finding{f.Path, t.line(n), f.Dir + " must not start goroutines"})
			}
			switch name := f.selected(n); name {
			case "time.Now", "time.Since", "time.Until", "time.NewTimer", "time.NewTicker", "time.AfterFunc":
				out = append(out, Finding{f.Path, t.line(n), f.Dir + " must not look at a clock: " + name})
			}
			return true
		})
	}
	return out
}

// foreign lists what the packages may import besides the standard library and
// the module itself.
var foreign = []place{
	{imports: "google.golang.org/protobuf/encoding/protowire", allowed: []string{"wire/fields", "wire"}},
	{imports: "golang.org/x/net/http2/hpack", allowed: []string{"h2grpc/internal/h2"}},
	{imports: "google.golang.org/protobuf/...", allowed: []string{"h2grpc/...", "plugin/...", "cmd/..."}},
}

// placed checks imports from outside of the module.
func placed(t *Tree) []Finding {
	var out []Finding
	for _, f := range t.Files {
		if f.Test || f.Nested || f.Generated {
			continue
		}
		for _, spec := range f.Syntax.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			if under(imported, Module) {
				continue
			}
			if why := unplaced(f.Path, imported); why != "" {
				out = append(out, Finding{f.Path, t.line(spec), fmt.Sprintf("%s must not import %s: %s", f.Dir, imported, why)})
			}
		}
	}
	return out
}

// unplaced returns why the file must not have an import, or "".
func unplaced(file, imported string) string {
	dir := path.Dir(file)
	for _, p := range places {
		if matches(imported, p.imports) && !matchesAny(dir, p.allowed) && !matchesAny(file, p.allowed) {
			return p.why
		}
	}
	first, _, _ := strings.Cut(imported, "/")
	if !strings.Contains(first, ".") {
		return "" // the standard library
	}
	for _, p := range foreign {
		if matches(imported, p.imports) && matchesAny(dir, p.allowed) {
			return ""
		}
	}
	return "it is of another module, and not one that this package stands on"
}

// matches reports whether name is pattern, or below it for "pattern/...".
func matches(name, pattern string) bool {
	if parent, ok := strings.CutSuffix(pattern, "/..."); ok {
		return under(name, parent)
	}
	return name == pattern
}

func matchesAny(name string, patterns []string) bool {
	for _, p := range patterns {
		if matches(name, p) {
			return true
		}
	}
	return false
}
