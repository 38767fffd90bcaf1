package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// exported returns the names that a package of this module has, methods and fields
// as "T.Name".
func exported(t *testing.T, importPath string) map[string]bool {
	t.Helper()
	dir := filepath.Join("..", "..", filepath.FromSlash(strings.TrimPrefix(importPath, ours)))
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".go") && !strings.HasSuffix(e.Name(), "_test.go") {
			f, err := parser.ParseFile(fset, filepath.Join(dir, e.Name()), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
	}
	scope := newUniverse(fset).check(importPath, files, nil, false).Scope()
	out := make(map[string]bool)
	for _, name := range scope.Names() {
		out[name] = true
		named, ok := scope.Lookup(name).Type().(*types.Named)
		if !ok {
			continue
		}
		for m := range named.Methods() {
			out[name+"."+m.Name()] = true
		}
		if st, ok := named.Underlying().(*types.Struct); ok {
			for f := range st.Fields() {
				out[name+"."+f.Name()] = true
			}
		}
	}
	return out
}

// TestNamesExist requires that the new names, and the names that stay, exist.
func TestNamesExist(t *testing.T) {
	have := map[string]map[string]bool{"host": exported(t, hostPath)}
	for _, m := range moves {
		have[m.short] = exported(t, m.to)
	}
	for short, names := range same {
		for name := range strings.FieldsSeq(names) {
			if !have[short][name] {
				t.Errorf("%s has no %s, which is to stay as it is", short, name)
			}
		}
	}
	for key, r := range rules {
		short, name, _ := strings.Cut(key, ".")
		typeName, _, member := strings.Cut(name, ".")
		switch {
		case r.to == "" && r.advice == "" && !member:
			if !have[short][name] {
				t.Errorf("%s is to stay as it is, and is not there", key)
			}
		case r.to == "":
		case !member:
			pkg, to, _ := strings.Cut(r.to, ".")
			if !have[pkg][to] {
				t.Errorf("%s becomes %s, which is not there", key, r.to)
			}
		default:
			pkg, to := short, typeName
			if owner := rules[short+"."+typeName].to; owner != "" {
				pkg, to, _ = strings.Cut(owner, ".")
			}
			if !have[pkg][to+"."+r.to] {
				t.Errorf("%s becomes %s.%s.%s, which is not there", key, pkg, to, r.to)
			}
		}
	}
	for _, name := range []string{"Config.InheritEnv", "Config.InsecurePlaintext", "Config.Output", "Output.Stdout", "Output.Stderr", "Output.RawStderr", "Sockets.MinPort", "Sockets.MaxPort", "Client.Ping", "Client.Close", "Dispense", "Start"} {
		if !have["host"][name] {
			t.Errorf("host has no %s", name)
		}
	}
	if !exported(t, reflectionPath)["Register"] || !have["plugin"]["ServeConfig.Reflection"] {
		t.Error("there is no reflection.Register, or no ServeConfig.Reflection")
	}
}

// TestDeclarationsAreThoughtOf requires a decision for every name that go-plugin and
// tenon both have, or grpc-go's types and tenon's: a declared name without a rule is
// not changed.
func TestDeclarationsAreThoughtOf(t *testing.T) {
	u := newUniverse(token.NewFileSet())
	for path := range maps.Keys(declared) {
		if _, err := u.Import(path); err != nil {
			t.Fatal(err)
		}
	}
	have := map[string]map[string]bool{"host": exported(t, hostPath)}
	for _, m := range moves {
		have[m.short] = exported(t, m.to)
	}
	for _, key := range u.keys {
		if r := ruleOf(key); r.to != "" || r.advice != "" {
			continue
		}
		short, name, _ := strings.Cut(key, ".")
		typeName, member, isMember := strings.Cut(name, ".")
		if owner := rules[short+"."+typeName].to; isMember && owner != "" {
			short, typeName, _ = strings.Cut(owner, ".")
			name = typeName + "." + member
		} else if isMember && rules[short+"."+typeName].advice != "" {
			continue // the type itself is listed
		}
		if !have[short][name] {
			t.Errorf("%s stays as it is, and there is no %s in %s", key, name, short)
		}
	}
}
