package main

import (
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// halves returns a line for each import, in the directories' packages as the files are
// now, of a part of grpc-go that compiles beside tenon but is wrong.
func halves(dirs []string) ([]string, error) {
	var out []string
	for _, dir := range dirs {
		imports, err := importsOf(dir)
		if err != nil {
			return nil, err
		}
		ours := make(map[string]use) // by package, without _test
		for _, i := range imports {
			if _, has := ours[i.pkg]; !has && servesOurs(i.imported, dir) {
				ours[i.pkg] = i
			}
		}
		for _, i := range imports {
			with, has := ours[i.pkg]
			if !has || !silent(i.imported) {
				continue
			}
			m, _ := moveOf(i.imported)
			out = append(out, fmt.Sprintf("%s: %s is not the library that this package's calls are made with, which is %s because of %s (%s): neither finds a code in the other's errors, or metadata in its contexts",
				i.at, i.imported, m.to, with.imported, with.at))
		}
	}
	return out, nil
}

// A use is an import by a package.
type use struct {
	pkg      string // its name, without _test
	imported string
	at       token.Position
}

func importsOf(dir string) ([]use, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	var out []use
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if info, err := os.Stat(path); !isGo(e.Name()) || err != nil || !info.Mode().IsRegular() {
			continue
		}
		file, err := parser.ParseFile(fset, path, nil, parser.ImportsOnly)
		if err != nil {
			return nil, err
		}
		for _, spec := range file.Imports {
			out = append(out, use{
				strings.TrimSuffix(file.Name.Name, "_test"),
				strings.Trim(spec.Path.Value, "\"`"),
				fset.PositionFor(spec.Path.Pos(), false),
			})
		}
	}
	return out, nil
}

// serving are tenon's packages, besides plugin, that make or serve calls.
var serving = []string{ours + "/h2grpc", hostPath, ours + "/plugin/plugintest"}

// servesOurs reports whether a package that imports this one makes or serves calls with
// tenon: this one is a package of tenon that does so, or a package of the same module
// that imports h2grpc, as generated stubs do.
func servesOurs(imported, dir string) bool {
	if imported == ours+"/plugin" || slices.ContainsFunc(serving, func(p string) bool { return below(imported, p) }) {
		return true
	}
	at, ok := localDir(imported, dir)
	if !ok {
		return false
	}
	imports, err := importsOf(at)
	return err == nil && slices.ContainsFunc(imports, func(i use) bool { return below(i.imported, ours+"/h2grpc") })
}
