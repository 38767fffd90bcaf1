package check

import (
	"cmp"
	"fmt"
	"go/ast"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// maxFields and maxFunction are what a reader can keep in mind: a struct whose fields
// fit on a screen, and a function that fits on a page.
const (
	maxFields   = 25
	maxFunction = 80
)

// ceilingsFile lists what is larger than the rules allow, or has no rule that is the
// same everywhere, with the present figure: a line has a measure, what is measured, and
// the number. It may only decrease.
const ceilingsFile = "testdata/ceilings.txt"

// The measures.
const (
	linesLinked = "lines"     // of code that a package links, its own and the module's
	linesOwn    = "own-lines" // of a package's own code
	fields      = "fields"    // of a struct, each name counted
	lines       = "function"  // lines of a function, from its first to its last
	arrowsUp    = "up"        // pairs of a package's files of which the lower uses the upper
	returns     = "returns"   // to a file that a walk through calls had left
)

// A figure is a number that a ceiling bounds.
type figure struct {
	measure, of string
	n           int
	path        string // where it is
	line        int
}

func (f figure) key() string { return f.measure + " " + f.of }

// shapely compares figures with their ceilings. A figure that its rule allows needs
// none. If a figure has decreased, its ceiling must be lowered, so that it stays there.
func shapely(t *Tree) []Finding {
	ceilings, out := t.ceilings()
	for _, f := range t.figures(ceilings) {
		c, ok := ceilings[f.key()]
		delete(ceilings, f.key())
		switch limit := allowed(f.measure); {
		case !ok && f.n > limit:
			out = append(out, Finding{f.path, f.line, fmt.Sprintf("%s of %s: %d are more than %d", f.measure, f.of, f.n, limit)})
		case !ok:
		case f.n > c.n:
			out = append(out, Finding{f.path, f.line, fmt.Sprintf("%s of %s: %d are more than the ceiling of %d in %s", f.measure, f.of, f.n, c.n, ceilingsFile)})
		case f.n <= limit:
			out = append(out, Finding{ceilingsFile, c.line, fmt.Sprintf("%s of %s: %d need no ceiling any more", f.measure, f.of, f.n)})
		case f.n < c.n && f.measure != linesLinked && f.measure != linesOwn:
			out = append(out, Finding{ceilingsFile, c.line, fmt.Sprintf("%s of %s: lower the ceiling to %d", f.measure, f.of, f.n)})
		}
	}
	for key, c := range ceilings {
		out = append(out, Finding{ceilingsFile, c.line, "there is no " + key})
	}
	slices.SortFunc(out, func(a, b Finding) int { return cmp.Or(cmp.Compare(a.Path, b.Path), a.Line-b.Line) })
	return out
}

// allowed returns how large a measure may be without a ceiling.
func allowed(measure string) int {
	switch measure {
	case fields:
		return maxFields
	case lines:
		return maxFunction
	}
	return -1
}

// ceilings reads ceilingsFile.
func (t *Tree) ceilings() (map[string]figure, []Finding) {
	all := make(map[string]figure)
	var out []Finding
	n := 0
	for text := range strings.Lines(string(t.Texts[ceilingsFile])) {
		n++
		text, _, _ = strings.Cut(text, "#")
		words := strings.Fields(text)
		if len(words) == 0 {
			continue
		}
		number, err := strconv.Atoi(words[len(words)-1])
		if err != nil || len(words) != 3 {
			out = append(out, Finding{ceilingsFile, n, "want a measure, what is measured and a number"})
			continue
		}
		f := figure{words[0], words[1], number, ceilingsFile, n}
		all[f.key()] = f
	}
	return all, out
}

// figures measures everything: each struct and function, and what has a ceiling.
func (t *Tree) figures(ceilings map[string]figure) []figure {
	var out []figure
	for _, f := range t.Files {
		if f.written() {
			out = append(out, t.sizes(f)...)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(ceilings)) {
		c := ceilings[key]
		f := figure{measure: c.measure, of: c.of, path: c.of}
		switch c.measure {
		case linesOwn:
			f.n = t.codeLines(c.of)
		case linesLinked:
			f.n = t.linkedLines(c.of)
		case arrowsUp:
			g := t.calls(c.of)
			f.n = g.up(g.order())
		case returns:
			dir, start, _ := strings.Cut(c.of, ":")
			f.n = t.calls(dir).returns(start)
			f.path = dir
		default:
			continue
		}
		out = append(out, f)
	}
	return out
}

// sizes measures the structs and functions of a file.
func (t *Tree) sizes(f *File) []figure {
	var out []figure
	for _, decl := range f.Syntax.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			from, to := t.fset.Position(d.Pos()).Line, t.fset.Position(d.End()).Line
			out = append(out, figure{lines, f.Dir + "." + funcName(d), to - from + 1, f.Path, from})
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				ts, ok := spec.(*ast.TypeSpec)
				if !ok {
					continue
				}
				if st, ok := ts.Type.(*ast.StructType); ok {
					out = append(out, figure{fields, f.Dir + "." + ts.Name.Name, countFields(st), f.Path, t.line(ts)})
				}
			}
		}
	}
	return out
}

// countFields counts the names of a struct's fields, including those of unnamed structs
// in it, which are only another way to write them.
func countFields(st *ast.StructType) int {
	n := 0
	for _, field := range st.Fields.List {
		n += max(1, len(field.Names))
		if inner, ok := field.Type.(*ast.StructType); ok {
			n += countFields(inner)
		}
	}
	return n
}

// funcName returns "Name" or "Type.Name".
func funcName(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return d.Name.Name
	}
	return receiver(d.Recv.List[0].Type) + "." + d.Name.Name
}

func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return "?"
}
