// Package check holds the rules for the repository's shape: which packages may import
// which, what may touch the whole process, what tests may wait for. Its tests apply
// them to the repository.
package check

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Module is the path of the root module.
const Module = "github.com/tenonrpc/tenon"

// Finding is a place that breaks a rule.
type Finding struct {
	Path string // from the repository's top, with slashes
	Line int    // from 1; 0 if the file as a whole is meant
	Text string // what is wrong, and what to do instead
}

// String returns the finding as compilers print theirs.
func (f Finding) String() string {
	if f.Line == 0 {
		return f.Path + ": " + f.Text
	}
	return fmt.Sprintf("%s:%d: %s", f.Path, f.Line, f.Text)
}

// Tree is the repository's contents.
type Tree struct {
	Texts map[string][]byte // every file that is text, by its path from the top
	Files []*File           // the Go files among them, in the order of their paths
	fset  *token.FileSet
}

// File is a Go file.
type File struct {
	Path      string
	Dir       string // the package's directory; "." for the top
	Test      bool   // its name ends in _test.go, or forTests matches
	Generated bool   // its header marks it as generated
	// Nested reports whether the file belongs to a nested module or is under testdata:
	// the root module's packages do not include it.
	Nested bool
	// Bridge reports whether the file belongs to a nested module that is not under
	// testdata, and so to one that others import.
	Bridge  bool
	Syntax  *ast.File
	imports map[string]string // import path by the name that the file uses
}

// Load reads the repository whose top is dir. It leaves out what git does not
// track: .git and .build.
func Load(dir string) (*Tree, error) {
	texts := make(map[string][]byte)
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == ".git" || d.Name() == ".build" {
				return filepath.SkipDir
			}
			return nil
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(name)
		if err == nil && utf8.Valid(b) && !bytes.ContainsRune(b, 0) {
			texts[filepath.ToSlash(rel)] = b
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return New(texts)
}

// forTests matches the beginning of files that only test builds have, by a tag of their
// own.
var forTests = regexp.MustCompile(`^//go:build (lockorder|tenon_fastpath)\n`)

// New makes a Tree of files in memory. Paths are from the top, with slashes.
func New(texts map[string][]byte) (*Tree, error) {
	t := &Tree{Texts: texts, fset: token.NewFileSet()}
	for _, name := range t.paths() {
		if !strings.HasSuffix(name, ".go") {
			continue
		}
		syntax, err := parser.ParseFile(t.fset, name, texts[name], parser.ParseComments)
		if err != nil {
			return nil, err
		}
		f := &File{
			Path:      name,
			Dir:       path.Dir(name),
			Test:      strings.HasSuffix(name, "_test.go") || forTests.Match(texts[name]),
			Generated: ast.IsGenerated(syntax),
			Nested:    t.nested(path.Dir(name)),
			Bridge:    t.bridge(path.Dir(name)),
			Syntax:    syntax,
			imports:   make(map[string]string),
		}
		for _, spec := range syntax.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return nil, err
			}
			local := path.Base(imported)
			if spec.Name != nil {
				local = spec.Name.Name
			}
			f.imports[local] = imported
		}
		t.Files = append(t.Files, f)
	}
	return t, nil
}

// paths returns the paths of all files, sorted.
func (t *Tree) paths() []string {
	var names []string
	for name := range t.Texts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// nested reports whether a directory is outside of the root module's packages.
func (t *Tree) nested(dir string) bool {
	for ; dir != "."; dir = path.Dir(dir) {
		if _, ok := t.Texts[dir+"/go.mod"]; ok || path.Base(dir) == "testdata" {
			return true
		}
	}
	return false
}

// bridge reports whether a directory is in a nested module that others import.
func (t *Tree) bridge(dir string) bool {
	return t.nested(dir) && !slices.Contains(strings.Split(dir, "/"), "testdata")
}

// written reports whether people wrote the file for others to import.
func (f *File) written() bool { return !f.Test && !f.Generated && (!f.Nested || f.Bridge) }

// line returns the line of a node.
func (t *Tree) line(n ast.Node) int { return t.fset.Position(n.Pos()).Line }

// selected returns what a node refers to as "import/path.Name", or "" if it is no name
// of an imported package. A local variable that hides a package is taken for the
// package: rename it.
func (f *File) selected(n ast.Node) string {
	sel, ok := n.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	id, ok := sel.X.(*ast.Ident)
	if !ok || f.imports[id.Name] == "" {
		return ""
	}
	return f.imports[id.Name] + "." + sel.Sel.Name
}

// under reports whether dir is parent or below it.
func under(dir, parent string) bool {
	return dir == parent || strings.HasPrefix(dir, parent+"/")
}
