package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// directories returns the directories that patterns stand for, each once, even if
// patterns have several names for it.
func directories(patterns []string) ([]string, error) {
	var out []string
	var infos []fs.FileInfo
	for _, p := range patterns {
		dirs, err := matches(p)
		if err != nil {
			return nil, err
		}
		earlier := infos // a pattern has none twice
		for _, dir := range dirs {
			info, err := os.Stat(dir)
			if err != nil {
				return nil, err
			}
			if !slices.ContainsFunc(earlier, func(other fs.FileInfo) bool { return os.SameFile(info, other) }) {
				out = append(out, dir)
				infos = append(infos, info)
			}
		}
	}
	return out, nil
}

// matches returns the directories that a pattern stands for.
func matches(pattern string) ([]string, error) {
	root, all := strings.CutSuffix(filepath.ToSlash(pattern), "/...")
	if pattern == "..." {
		root, all = ".", true
	}
	if root == "" {
		root = "/"
	}
	root = filepath.Clean(filepath.FromSlash(root))
	info, err := os.Stat(root)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is not a directory: a package is migrated as a whole", root)
	}
	if !all {
		return []string{root}, nil
	}
	top := root
	if info, err := os.Lstat(root); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		// WalkDir does not follow it.
		if top, err = filepath.EvalSymlinks(root); err != nil {
			return nil, err
		}
	}
	var out []string
	err = filepath.WalkDir(top, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name != top && leftOut(name) {
			return filepath.SkipDir
		}
		rel, err := filepath.Rel(top, name)
		out = append(out, filepath.Join(root, rel))
		return err
	})
	return out, err
}

// leftOut reports whether a directory does not belong to the packages around it.
func leftOut(dir string) bool {
	base := filepath.Base(dir)
	if base == "vendor" || base == "testdata" || base[0] == '.' || base[0] == '_' {
		return true
	}
	_, err := os.Lstat(filepath.Join(dir, "go.mod"))
	return err == nil
}

// load reads and parses the Go files of a directory, and type-checks them.
func load(u *universe, dir string) ([]*unit, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	byName := make(map[string]*unit)
	var units []*unit
	var failed []error
	for _, e := range entries {
		if !isGo(e.Name()) || e.IsDir() {
			continue
		}
		s, err := read(u.fset, filepath.Join(dir, e.Name()))
		if err != nil {
			failed = append(failed, err)
			continue
		}
		if s == nil {
			continue
		}
		name := s.syntax.Name.Name
		if byName[name] == nil {
			byName[name] = &unit{universe: u}
			units = append(units, byName[name])
		}
		s.pkg = byName[name]
		s.pkg.files = append(s.pkg.files, s)
	}
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	for _, p := range units {
		p.check(dir)
	}
	return units, nil
}

// isGo reports whether the go command takes a file of that name for Go: it ignores
// names that begin with a dot or an underscore.
func isGo(name string) bool {
	return strings.HasSuffix(name, ".go") && name[0] != '.' && name[0] != '_'
}

// read reads and parses a file. It returns nil for what is neither a file nor a
// link to one.
func read(fset *token.FileSet, path string) (*source, error) {
	self, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	syntax, err := parser.ParseFile(fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err // it begins with the path
	}
	return &source{
		path:      path,
		text:      text,
		mode:      info.Mode().Perm(),
		link:      self.Mode()&fs.ModeSymlink != 0,
		generated: ast.IsGenerated(syntax),
		syntax:    syntax,
	}, nil
}

func (p *unit) check(dir string) {
	p.info = &types.Info{
		Types:     make(map[ast.Expr]types.TypeAndValue),
		Defs:      make(map[*ast.Ident]types.Object),
		Uses:      make(map[*ast.Ident]types.Object),
		Implicits: make(map[ast.Node]types.Object),
	}
	var files []*ast.File
	for _, s := range p.files {
		files = append(files, s.syntax)
	}
	p.types = p.universe.check(dir, files, p.info, true)
}

// write replaces a file by one with another text and the same mode, unless it has
// changed since it was read. The file is complete at all times.
func write(path string, was, is []byte, mode fs.FileMode) (err error) {
	if now, err := os.ReadFile(path); err != nil {
		return err
	} else if !bytes.Equal(now, was) {
		return fmt.Errorf("%s was changed in the meantime", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".tenon-migrate-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(is)
	if err == nil {
		err = f.Chmod(mode)
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
