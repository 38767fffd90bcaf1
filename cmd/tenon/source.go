package main

import (
	"cmp"
	"go/ast"
	"go/token"
	"go/types"
	"io/fs"
	"slices"
)

// A source is a Go file, and the changes to make in it.
type source struct {
	path      string // as given in the arguments
	text      []byte
	mode      fs.FileMode
	link      bool // a symbolic link: it is read, and not changed
	generated bool
	syntax    *ast.File
	parents   map[ast.Node]ast.Node
	pkg       *unit

	edits []edit
	notes []note
	gone  []span              // nodes that an edit has taken away
	seen  map[*ast.Ident]bool // names that another part has dealt with
	used  map[*types.PkgName]*uses
	needs map[string]string // packages to import, with the names that they have here
}

// A unit is a package as the type checker sees it: a directory has one for each
// package name in its files.
type unit struct {
	universe *universe
	types    *types.Package
	info     *types.Info
	files    []*source
}

// A note is a use that somebody has to look at.
type note struct {
	off          int
	name, advice string
}

type span struct{ start, end token.Pos }

// uses counts where a file uses an import, and where it still does afterwards.
type uses struct{ before, after int }

func (s *source) prepare() {
	s.parents = make(map[ast.Node]ast.Node)
	s.seen = make(map[*ast.Ident]bool)
	s.used = make(map[*types.PkgName]*uses)
	s.needs = make(map[string]string)
	var stack []ast.Node
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		if n == nil {
			stack = stack[:len(stack)-1]
			return true
		}
		if len(stack) > 0 {
			s.parents[n] = stack[len(stack)-1]
		}
		stack = append(stack, n)
		return true
	})
}

// rewrite finds what is to be done to the file.
func (s *source) rewrite() {
	s.prepare()
	if !s.generated {
		s.starts()
		s.embedded()
		s.literals()
	}
	s.names()
	s.imports()
	slices.SortStableFunc(s.notes, func(a, b note) int { return cmp.Compare(a.off, b.off) })
}

func (s *source) offset(p token.Pos) int { return s.pkg.universe.fset.Position(p).Offset }

func (s *source) source(n ast.Node) string {
	return string(s.text[s.offset(n.Pos()):s.offset(n.End())])
}

func (s *source) replace(start, end token.Pos, text, what string) {
	s.edits = append(s.edits, edit{s.offset(start), s.offset(end), text, what})
}

// remove deletes an element of a list.
func (s *source) remove(n ast.Node, what string) {
	start, end := deletion(s.text, s.offset(n.Pos()), s.offset(n.End()))
	s.edits = append(s.edits, edit{start, end, "", what})
	s.gone = append(s.gone, span{n.Pos(), n.End()})
}

func (s *source) note(p token.Pos, name, advice string) {
	s.notes = append(s.notes, note{s.offset(p), name, advice})
}

func (s *source) isGone(p token.Pos) bool {
	return slices.ContainsFunc(s.gone, func(g span) bool { return g.start <= p && p < g.end })
}

// key returns the name under which the rules have what an identifier stands for: a
// package, a field or a method of an old library; "" if it is none of these.
func (s *source) key(id *ast.Ident) string {
	if obj := s.pkg.info.Uses[id]; obj != nil {
		return s.pkg.universe.keys[obj]
	}
	sel, ok := s.parents[id].(*ast.SelectorExpr)
	if !ok || sel.Sel != id {
		return ""
	}
	if name := s.qualifier(sel); name != nil {
		if m, ok := moveOf(name.Imported().Path()); ok {
			return m.short + "." + id.Name // one that is not declared
		}
	}
	return ""
}

// exprKey is key for an expression that is a name, qualified or not.
func (s *source) exprKey(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return s.key(e)
	case *ast.SelectorExpr:
		return s.key(e.Sel)
	}
	return ""
}

// qualifier returns the import that a selector is qualified with, or nil.
func (s *source) qualifier(sel *ast.SelectorExpr) *types.PkgName {
	x, ok := sel.X.(*ast.Ident)
	if !ok {
		return nil
	}
	return s.imported(x)
}

// imported returns the import that an identifier stands for, or nil. The checker does
// not resolve type arguments of unknown types, nor keys in literals of them: there the
// name is looked up.
func (s *source) imported(id *ast.Ident) *types.PkgName {
	obj := s.pkg.info.Uses[id]
	if obj == nil && s.pkg.info.Defs[id] == nil {
		if sel, ok := s.parents[id].(*ast.SelectorExpr); ok && sel.X == ast.Expr(id) {
			obj = s.lookup(id.Name, id.Pos())
		}
	}
	name, _ := obj.(*types.PkgName)
	return name
}

// need returns the name of a package in the file, and adds its import.
func (s *source) need(importPath string) string {
	if name, ok := s.needs[importPath]; ok {
		return name
	}
	if name := s.has(importPath); name != "" {
		return name
	}
	name := packageName(importPath)
	if s.taken(name) {
		name = "tenon" + name
	}
	s.needs[importPath] = name
	return name
}

// has returns the name by which the file has imported a package, or "".
func (s *source) has(importPath string) string {
	for _, spec := range s.syntax.Imports {
		if spec.Path.Value != `"`+importPath+`"` {
			continue
		}
		if spec.Name == nil {
			return packageName(importPath)
		} else if spec.Name.Name != "_" && spec.Name.Name != "." {
			return spec.Name.Name
		}
	}
	return ""
}

// seenAt reports whether the name that need returns for a package stands for it at a
// position.
func (s *source) seenAt(importPath string, at token.Pos) bool {
	name := s.has(importPath)
	if name == "" {
		return true // need chooses one that means nothing else
	}
	pkg, ok := s.lookup(name, at).(*types.PkgName)
	return ok && pkg.Imported().Path() == importPath
}

// lookup returns what a name stands for at a position, or nil.
func (s *source) lookup(name string, at token.Pos) types.Object {
	scope := s.pkg.types.Scope().Innermost(at)
	if scope == nil {
		return nil
	}
	_, obj := scope.LookupParent(name, at)
	return obj
}

// taken reports whether a name means something in the file, wherever that is.
func (s *source) taken(name string) bool {
	if s.pkg.types.Scope().Lookup(name) != nil {
		return true
	}
	found := false
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		if !ok || id.Name != name {
			return true
		}
		obj := s.pkg.info.Defs[id]
		if _, isField := obj.(*types.Var); isField && obj.(*types.Var).IsField() {
			return true
		}
		_, used := s.pkg.info.Uses[id].(*types.PkgName)
		// An undeclared name may be a package whose name differs from the end of its
		// path.
		sel, _ := s.parents[id].(*ast.SelectorExpr)
		unknown := s.pkg.info.Uses[id] == nil && sel != nil && sel.X == ast.Expr(id)
		found = found || used || unknown || obj != nil
		return true
	})
	return found
}
