package check

import (
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
)

// A Limit is a named constant of a limits.go.
type Limit struct {
	Path   string
	Line   int
	Name   string
	Value  string // as the source has it
	Reason string // its comment; limits without a blank line between share one
}

// Limits returns all limits of the root module's packages.
func (t *Tree) Limits() []Limit {
	var out []Limit
	for _, f := range t.packageFiles() {
		if path.Base(f.Path) != "limits.go" {
			continue
		}
		for _, d := range f.Syntax.Decls {
			decl, ok := d.(*ast.GenDecl)
			if !ok || decl.Tok != token.CONST {
				continue
			}
			reason, last := text(decl.Doc), 0
			for _, s := range decl.Specs {
				spec := s.(*ast.ValueSpec)
				start := t.line(spec)
				if spec.Doc != nil {
					start = t.line(spec.Doc)
				}
				if own := text(spec.Doc); own != "" {
					reason = own
				} else if last != 0 && start > last+1 {
					reason = ""
				}
				last = t.fset.Position(spec.End()).Line
				for i, name := range spec.Names {
					l := Limit{Path: f.Path, Line: t.line(name), Name: name.Name, Reason: reason}
					if i < len(spec.Values) {
						v := spec.Values[i]
						l.Value = string(t.Texts[f.Path][t.fset.Position(v.Pos()).Offset:t.fset.Position(v.End()).Offset])
					}
					out = append(out, l)
				}
			}
		}
	}
	return out
}

// text returns a comment as one line.
func text(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }

// packageFiles returns the Go files of the root module's packages, without tests
// and generated ones.
func (t *Tree) packageFiles() []*File {
	var out []*File
	for _, f := range t.Files {
		if !f.Test && !f.Nested && !f.Generated {
			out = append(out, f)
		}
	}
	return out
}

// A PackageSize is how large a package is and what it imports.
type PackageSize struct {
	Dir     string
	Lines   int      // neither blank nor comments, without tests and generated code
	Ours    []string // directories of the root module's packages it imports
	Foreign []string // imports from outside of the module and the standard library
	Notable []string // imports of the standard library that reach outside of the process, or circumvent Go's types
}

// notable are the standard library's packages that an auditor wants to know of.
var notable = []string{"crypto", "net", "os", "os/exec", "os/signal", "os/user", "plugin", "reflect", "runtime/debug", "syscall", "unsafe"}

// Packages returns the root module's packages in the order of their paths.
func (t *Tree) Packages() []PackageSize {
	byDir := map[string]*PackageSize{}
	add := func(list *[]string, s string) {
		if !slices.Contains(*list, s) {
			*list = append(*list, s)
			slices.Sort(*list)
		}
	}
	for _, f := range t.packageFiles() {
		p := byDir[f.Dir]
		if p == nil {
			p = &PackageSize{Dir: f.Dir, Lines: t.codeLines(f.Dir)}
			byDir[f.Dir] = p
		}
		for _, spec := range f.Syntax.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			first, _, _ := strings.Cut(imported, "/")
			switch to, ours := strings.CutPrefix(imported, Module+"/"); {
			case ours:
				add(&p.Ours, to)
			case strings.Contains(first, "."):
				add(&p.Foreign, imported)
			case slices.Contains(notable, imported), first == "crypto":
				add(&p.Notable, imported)
			}
		}
	}
	var out []PackageSize
	for _, p := range byDir {
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b PackageSize) int { return strings.Compare(a.Dir, b.Dir) })
	return out
}

// A Use is a place where something is used.
type Use struct {
	Path string
	Line int
	Name string // "import/path.Name", or the name of a field or method
	Call bool   // set if it is called, or is a field or method
}

// Uses returns every place of the root module's packages that refers to a package
// whose path is one of prefixes or below it.
func (t *Tree) Uses(prefixes ...string) []Use {
	return t.uses(func(f *File, n ast.Node) string {
		name := f.selected(n)
		if name == "" {
			return ""
		}
		pkg := name[:strings.LastIndexByte(name, '.')]
		if !slices.ContainsFunc(prefixes, func(p string) bool { return under(pkg, p) }) {
			return ""
		}
		return name
	})
}

// Members returns every place of the root module's packages where a field or
// method has one of names, whatever type it is of: x.Name, or Name: in a
// composite literal.
func (t *Tree) Members(names ...string) []Use {
	all := t.uses(func(f *File, n ast.Node) string {
		var id *ast.Ident
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if f.selected(n) == "" {
				id = n.Sel
			}
		case *ast.KeyValueExpr:
			id, _ = n.Key.(*ast.Ident)
		}
		if id == nil || !slices.Contains(names, id.Name) {
			return ""
		}
		return id.Name
	})
	for i := range all {
		all[i].Call = true
	}
	return all
}

// uses returns the places of the nodes for which name returns a name.
func (t *Tree) uses(name func(*File, ast.Node) string) []Use {
	var out []Use
	for _, f := range t.packageFiles() {
		called := map[ast.Node]bool{}
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				called[call.Fun] = true
			}
			if name := name(f, n); name != "" {
				out = append(out, Use{f.Path, t.line(n), name, called[n]})
			}
			return true
		})
	}
	return out
}

// reasoned checks that every limit has a comment with its reason.
func reasoned(t *Tree) []Finding {
	var out []Finding
	for _, l := range t.Limits() {
		if l.Reason == "" {
			out = append(out, Finding{l.Path, l.Line, l.Name + " has no comment with its reason"})
		}
	}
	return out
}
