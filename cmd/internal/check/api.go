package check

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/printer"
	"go/token"
	"slices"
	"strings"
)

// APIFile lists what users of the module can name: a change of it is a change for them,
// and must show in review and in the changelog.
const APIFile = "testdata/api.txt"

// unchanged compares APIFile with what the packages export.
func unchanged(t *Tree) []Finding {
	var out []Finding
	said, is := strings.Split(string(t.Texts[APIFile]), "\n"), strings.Split(string(API(t)), "\n")
	for i, line := range said {
		if !slices.Contains(is, line) {
			out = append(out, Finding{APIFile, i + 1, fmt.Sprintf("%q is gone; if that is intended, make api, and say in the changelog how users can follow", line)})
		}
	}
	for _, line := range is {
		if !slices.Contains(said, line) {
			out = append(out, Finding{APIFile, 0, fmt.Sprintf("%q is new or has changed; make api", line)})
		}
	}
	return out
}

// API returns what APIFile should contain: a line for each exported name of a package
// that others may import, on any system, in order.
func API(t *Tree) []byte {
	var lines []string
	for _, f := range t.Files {
		if f.Test || f.Nested && !f.Bridge || f.Syntax.Name.Name == "main" || slices.Contains(strings.Split(f.Dir, "/"), "internal") {
			continue
		}
		for _, d := range f.Syntax.Decls {
			for _, line := range t.exported(d) {
				lines = append(lines, f.Dir+" "+line+"\n")
			}
		}
	}
	slices.Sort(lines)
	return []byte(strings.Join(slices.Compact(lines), ""))
}

// exported returns a line for each exported name that a declaration makes.
func (t *Tree) exported(d ast.Decl) (out []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if !d.Name.IsExported() || d.Recv != nil && !ofExported(d.Recv.List[0].Type) {
			return nil
		}
		out = append(out, t.shown(&ast.FuncDecl{Recv: d.Recv, Name: d.Name, Type: d.Type}))
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() {
					out = append(out, t.exportedType(s)...)
				}
			case *ast.ValueSpec:
				for _, name := range s.Names {
					if name.IsExported() {
						out = append(out, strings.TrimSpace(d.Tok.String()+" "+name.Name+" "+t.shown(s.Type)))
					}
				}
			}
		}
	}
	return out
}

// ofExported reports whether a method's receiver is of an exported type.
func ofExported(x ast.Expr) bool {
	for {
		switch y := x.(type) {
		case *ast.StarExpr:
			x = y.X
		case *ast.IndexExpr:
			x = y.X
		case *ast.IndexListExpr:
			x = y.X
		case *ast.Ident:
			return y.IsExported()
		default:
			return false
		}
	}
}

func (t *Tree) exportedType(s *ast.TypeSpec) []string {
	whole := *s
	whole.Doc, whole.Comment = nil, nil
	var members *ast.FieldList
	switch x := s.Type.(type) {
	case *ast.StructType:
		members, whole.Type = x.Fields, &ast.StructType{Fields: new(ast.FieldList)}
	case *ast.InterfaceType:
		members, whole.Type = x.Methods, &ast.InterfaceType{Methods: new(ast.FieldList)}
	}
	out := []string{"type " + t.shown(&whole)}
	if members == nil {
		return out
	}
	for _, m := range members.List {
		if len(m.Names) == 0 {
			out = append(out, s.Name.Name+" has "+t.shown(m.Type))
		}
		for _, name := range m.Names {
			if name.IsExported() {
				out = append(out, s.Name.Name+"."+name.Name+" "+t.shown(m.Type))
			}
		}
	}
	return out
}

// shown returns a piece of Go on one line.
func (t *Tree) shown(node any) string {
	if expr, ok := node.(ast.Expr); ok && expr == nil || node == nil {
		return ""
	}
	var b bytes.Buffer
	if err := (&printer.Config{Mode: printer.RawFormat}).Fprint(&b, token.NewFileSet(), node); err != nil {
		return err.Error()
	}
	return strings.Join(strings.Fields(b.String()), " ")
}
