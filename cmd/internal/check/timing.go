package check

import (
	"go/ast"
	"strings"
)

// sleepless checks that tests, including those of the nested modules, sleep only in
// fake time: time.Sleep must be inside a function literal that is passed to
// synctest.Test.
func sleepless(t *Tree) []Finding {
	var out []Finding
	for _, f := range t.Files {
		if !f.Test && !f.Nested {
			continue // processWide forbids it altogether
		}
		var walk func(n ast.Node, bubble bool)
		walk = func(n ast.Node, bubble bool) {
			ast.Inspect(n, func(m ast.Node) bool {
				if call, ok := m.(*ast.CallExpr); ok && f.selected(call.Fun) == "testing/synctest.Test" && !bubble {
					for _, arg := range call.Args {
						walk(arg, true)
					}
					return false
				}
				if f.selected(m) == "time.Sleep" && !bubble {
					out = append(out, Finding{f.Path, t.line(m), "time.Sleep in real time: use testing/synctest, or wait for the event itself"})
				}
				return true
			})
		}
		walk(f.Syntax, false)
	}
	return out
}

// units are the names of package time that make a duration.
var units = map[string]bool{
	"time.Nanosecond": true, "time.Microsecond": true, "time.Millisecond": true,
	"time.Second": true, "time.Minute": true, "time.Hour": true,
}

// named checks that every time-out of the library is a named constant: durations are
// written only in const declarations.
func named(t *Tree) []Finding {
	var out []Finding
	for _, f := range t.Files {
		if f.Test || f.Nested || f.Generated || strings.HasPrefix(f.Dir, "cmd/") {
			continue
		}
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			if decl, ok := n.(*ast.GenDecl); ok && decl.Tok.String() == "const" {
				return false
			}
			// Comparing and converting by a unit is not a time-out: only a
			// number times a unit is one.
			product, ok := n.(*ast.BinaryExpr)
			if !ok || product.Op.String() != "*" {
				return true
			}
			if units[f.selected(product.X)] && number(product.Y) || units[f.selected(product.Y)] && number(product.X) {
				out = append(out, Finding{f.Path, t.line(product), "a time without a name: make it a constant in limits.go that says why, or a field of a configuration"})
			}
			return true
		})
	}
	return out
}

func number(e ast.Expr) bool {
	_, ok := e.(*ast.BasicLit)
	return ok
}
