package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// A universe type-checks packages without the libraries that they import: the old ones
// are as declared has them, packages of the program's own module are read from disk,
// and all others are empty. Errors are expected and ignored; what the checker still
// resolves of old names is certain.
type universe struct {
	fset *token.FileSet
	pkgs map[pkgKey]*types.Package
	keys map[types.Object]string // the rules' names of what is declared
}

// A pkgKey is a package and the directory that it is read from. The directory is "" if
// the package is not of the module that imports it: it is empty then.
type pkgKey struct{ path, dir string }

func newUniverse(fset *token.FileSet) *universe {
	return &universe{fset, make(map[pkgKey]*types.Package), make(map[types.Object]string)}
}

// check type-checks the files of a package.
func (u *universe) check(importPath string, files []*ast.File, info *types.Info, bodies bool) *types.Package {
	config := types.Config{
		Importer:         u,
		FakeImportC:      true,
		IgnoreFuncBodies: !bodies,
		Error:            func(error) {},
	}
	pkg, _ := config.Check(importPath, u.fset, files, info)
	return pkg
}

// Import implements types.Importer.
func (u *universe) Import(importPath string) (*types.Package, error) {
	return u.ImportFrom(importPath, "", 0)
}

// ImportFrom implements types.ImporterFrom.
func (u *universe) ImportFrom(importPath, dir string, _ types.ImportMode) (*types.Package, error) {
	key := pkgKey{path: importPath}
	text, old := declared[importPath]
	at, local := "", false
	if !old {
		if at, local = localDir(importPath, dir); local {
			key.dir = at
		}
	}
	if pkg, ok := u.pkgs[key]; ok {
		return pkg, nil
	}
	empty := types.NewPackage(importPath, packageName(importPath))
	empty.MarkComplete()
	u.pkgs[key] = empty // also for import cycles
	if old {
		u.pkgs[key] = u.declare(importPath, text)
	} else if local {
		if files := u.files(at); len(files) > 0 {
			u.pkgs[key] = u.check(importPath, files, nil, false)
		}
	}
	return u.pkgs[key], nil
}

// declare type-checks what declared has, and notes the keys.
func (u *universe) declare(importPath, text string) *types.Package {
	file, err := parser.ParseFile(u.fset, importPath, text, 0)
	if err != nil {
		panic(err) // it is a constant
	}
	pkg := u.check(importPath, []*ast.File{file}, nil, false)
	m, _ := moveOf(importPath)
	for _, name := range pkg.Scope().Names() {
		obj := pkg.Scope().Lookup(name)
		key := m.short + "." + name
		u.keys[obj] = key
		named, ok := obj.Type().(*types.Named)
		if _, isType := obj.(*types.TypeName); !ok || !isType {
			continue
		}
		for method := range named.Methods() {
			u.keys[method] = key + "." + method.Name()
		}
		switch t := named.Underlying().(type) {
		case *types.Struct:
			for field := range t.Fields() {
				u.keys[field] = key + "." + field.Name()
			}
		case *types.Interface:
			for method := range t.ExplicitMethods() {
				u.keys[method] = key + "." + method.Name()
			}
		}
	}
	return pkg
}

// keyOf returns the key of a type, or of what it points to; "" if it has none.
func (u *universe) keyOf(t types.Type) string {
	if t == nil {
		return ""
	}
	if p, ok := types.Unalias(t).(*types.Pointer); ok {
		t = p.Elem()
	}
	return u.valueKey(t)
}

// valueKey returns the key of a type, whatever the program calls it.
func (u *universe) valueKey(t types.Type) string {
	if t == nil {
		return ""
	}
	if named, ok := types.Unalias(t).(*types.Named); ok {
		return u.keys[named.Obj()]
	}
	return ""
}

// files parses the package in a directory, if there is one. Files that cannot be parsed
// are ignored.
func (u *universe) files(dir string) []*ast.File {
	entries, _ := os.ReadDir(dir)
	var files []*ast.File
	for _, e := range entries {
		if !isGo(e.Name()) || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(u.fset, filepath.Join(dir, e.Name()), nil, parser.SkipObjectResolution)
		if err == nil && f.Name.Name != "main" && (len(files) == 0 || f.Name.Name == files[0].Name.Name) {
			files = append(files, f)
		}
	}
	return files
}

// localDir returns the directory of an import path in the module that dir is in.
func localDir(importPath, dir string) (string, bool) {
	root, module := moduleOf(dir)
	if module == "" || module == ours || !below(importPath, module) {
		return "", false
	}
	return filepath.Join(root, filepath.FromSlash(strings.TrimPrefix(importPath, module))), true
}

var moduleLine = regexp.MustCompile(`(?m)^module\s+"?([^\s"]+)`)

// moduleOf returns the directory and path of the module that dir is in.
func moduleOf(dir string) (root, module string) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", ""
	}
	for {
		if text, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil {
			if m := moduleLine.FindSubmatch(text); m != nil {
				return dir, string(m[1])
			}
			return dir, ""
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", ""
		}
		dir = parent
	}
}

var version = regexp.MustCompile(`^v[0-9]+$`)

// packageName guesses the name of a package that is not read from its path.
func packageName(importPath string) string {
	name := path.Base(importPath)
	if version.MatchString(name) {
		name = path.Base(path.Dir(importPath))
	}
	name, _, _ = strings.Cut(strings.TrimPrefix(name, "go-"), ".")
	return strings.ReplaceAll(name, "-", "_")
}
