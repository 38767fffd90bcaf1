//go:build unix

package upstreamtests

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/tenonrpc/tenon/plugin/interop/upstreamtests/modes"
)

// upstreamSource is what the source of go-plugin's tests says of them.
type upstreamSource struct {
	constants map[string]string     // those that are a string
	modes     map[string]modes.Kind // what TestHelperProcess can be
	starts    map[string][]string   // the modes that a function starts, by itself or by others
	unclear   map[string]bool       // functions that start a mode whose name is computed
}

// readSource reads the tests of the go-plugin that this module requires.
func readSource() (*upstreamSource, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", upstream).Output()
	if err != nil {
		return nil, fmt.Errorf("looking for go-plugin's source: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "*_test.go"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("go-plugin has no tests in %s", out)
	}
	s := &upstreamSource{
		constants: make(map[string]string),
		modes:     make(map[string]modes.Kind),
		starts:    make(map[string][]string),
		unclear:   make(map[string]bool),
	}
	calls := make(map[string][]string)
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.GenDecl:
				s.readConstants(d)
			case *ast.FuncDecl:
				if d.Name.Name == "TestHelperProcess" {
					s.readModes(d)
				} else if d.Recv == nil {
					calls[d.Name.Name] = s.readCalls(d)
				}
			}
		}
	}
	s.spread(calls)
	return s, nil
}

func (s *upstreamSource) readConstants(d *ast.GenDecl) {
	for _, spec := range d.Specs {
		value, ok := spec.(*ast.ValueSpec)
		if !ok || len(value.Names) != 1 || len(value.Values) != 1 {
			continue
		}
		if text, ok := literal(value.Values[0]); ok {
			s.constants[value.Names[0].Name] = text
		}
	}
}

// readModes reads the cases of the switch by mode. A case that calls Serve is a
// plugin, of gRPC if it says how to make a gRPC server.
func (s *upstreamSource) readModes(d *ast.FuncDecl) {
	ast.Inspect(d, func(n ast.Node) bool {
		clause, ok := n.(*ast.CaseClause)
		if !ok {
			return true
		}
		kind := modes.Line
		for _, stmt := range clause.Body {
			ast.Inspect(stmt, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CallExpr:
					if name(n.Fun) == "Serve" && kind == modes.Line {
						kind = modes.NetRPC
					}
				case *ast.KeyValueExpr:
					if name(n.Key) == "GRPCServer" {
						kind = modes.Served
					}
				}
				return true
			})
		}
		for _, expr := range clause.List {
			if text, ok := literal(expr); ok {
				s.modes[text] = kind
			}
		}
		return true
	})
}

// readCalls returns the functions that one calls, and notes the modes that it
// starts.
func (s *upstreamSource) readCalls(d *ast.FuncDecl) (called []string) {
	ast.Inspect(d, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		called = append(called, name(call.Fun))
		if name(call.Fun) == "helperProcess" && len(call.Args) > 0 {
			if mode, ok := literal(call.Args[0]); ok {
				s.starts[d.Name.Name] = append(s.starts[d.Name.Name], mode)
			} else {
				s.unclear[d.Name.Name] = true
			}
		}
		return true
	})
	return called
}

// spread adds to every function what those start that it calls.
func (s *upstreamSource) spread(calls map[string][]string) {
	for again := true; again; {
		again = false
		for caller, called := range calls {
			for _, callee := range called {
				for _, mode := range s.starts[callee] {
					if !slices.Contains(s.starts[caller], mode) {
						s.starts[caller] = append(s.starts[caller], mode)
						again = true
					}
				}
				if s.unclear[callee] && !s.unclear[caller] {
					s.unclear[caller], again = true, true
				}
			}
		}
	}
}

// literal returns the value of an expression that is a string as it stands.
func literal(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
}

// name returns an expression that is a name, "" for any other.
func name(e ast.Expr) string {
	if id, ok := e.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}
