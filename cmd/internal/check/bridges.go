package check

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// bridges are the nested modules that others import, and what they may import in
// addition to the standard library, themselves, and the packages of the root module
// that anybody may import. Each is a module because of its requirements, which the
// root's go.mod must not have.
var bridges = map[string][]string{
	"h2grpc/grpcbridge": {"google.golang.org/grpc/...", "google.golang.org/genproto/googleapis/rpc/status", "google.golang.org/protobuf/..."},
}

// nestedModules matches the Makefile's list of modules besides the root.
var nestedModules = regexp.MustCompile(`(?m)^NESTED\s*:=.*\$\(wildcard ([^)]*)\)`)

// bridged checks that make sees every nested module, that bridges has those which
// others import, and what these import.
func bridged(t *Tree) []Finding {
	var out []Finding
	var patterns []string
	if m := nestedModules.FindSubmatch(t.Texts["Makefile"]); m != nil {
		patterns = strings.Fields(string(m[1]))
	}
	for _, name := range t.paths() {
		dir := path.Dir(name)
		if path.Base(name) != "go.mod" || dir == "." {
			continue
		}
		seen := slices.ContainsFunc(patterns, func(pattern string) bool {
			ok, _ := path.Match(pattern, name)
			return ok
		})
		if !seen {
			out = append(out, Finding{name, 0, "the Makefile's NESTED does not have this module: nothing tests it"})
		}
		if _, ok := bridges[dir]; !ok && t.bridge(dir) {
			out = append(out, Finding{name, 0, "a nested module outside of testdata is missing from the list of bridges: add it in cmd/internal/check/bridges.go"})
		}
	}
	for _, f := range t.Files {
		if !f.Bridge || f.Test || f.Generated {
			continue
		}
		for _, spec := range f.Syntax.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			if !bridgeable(f.Dir, imported) {
				out = append(out, Finding{f.Path, t.line(spec), fmt.Sprintf("%s must not import %s: it is not what this module bridges", f.Dir, imported)})
			}
		}
	}
	return out
}

// bridgeable reports whether a package of a nested module may have an import.
func bridgeable(dir, imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	if !strings.Contains(first, ".") {
		return true // the standard library
	}
	if under(imported, Module) {
		return !slices.Contains(strings.Split(imported, "/"), "internal")
	}
	for module, allowed := range bridges {
		if under(dir, module) && matchesAny(imported, allowed) {
			return true
		}
	}
	return false
}
