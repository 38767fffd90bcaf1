package main

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"
)

// names changes the names of the old libraries, or notes them.
func (s *source) names() {
	dots := s.dots()
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		if !ok {
			return true
		}
		if name := s.imported(id); name != nil {
			s.count(name).before++
			if !s.isGone(id.Pos()) {
				s.count(name).after++
			}
		}
		if s.seen[id] || s.isGone(id.Pos()) {
			return true
		}
		key := s.key(id)
		if key == "" && s.pkg.info.Uses[id] == nil && s.pkg.info.Defs[id] == nil && !s.selected(id) {
			key = undeclared(dots, id.Name)
		}
		if key != "" {
			s.name(id, key)
		} else if id.Name == "Kill" && s.mayBeKill(id) {
			s.note(id.Pos(), "plugin.Client.Kill", "if this is a plugin.Client: Close; Kill is SIGKILL at once")
		}
		return true
	})
}

func (s *source) count(name *types.PkgName) *uses {
	if s.used[name] == nil {
		s.used[name] = new(uses)
	}
	return s.used[name]
}

// dots returns the short names of old packages whose names the file has without
// qualifying them.
func (s *source) dots() []string {
	var out []string
	for _, spec := range s.syntax.Imports {
		if m, ok := moveOf(strings.Trim(spec.Path.Value, "\"`")); ok && spec.Name != nil && spec.Name.Name == "." {
			out = append(out, m.short)
		}
	}
	return out
}

// undeclared returns the rule's name of an identifier that nothing here declares, if
// it has a rule in a package that is imported with a dot.
func undeclared(dots []string, name string) string {
	for _, short := range dots {
		if _, ok := rules[short+"."+name]; ok {
			return short + "." + name
		}
	}
	return ""
}

func (s *source) selected(id *ast.Ident) bool {
	sel, ok := s.parents[id].(*ast.SelectorExpr)
	return ok && sel.Sel == id
}

// name deals with one use of a name.
func (s *source) name(id *ast.Ident, key string) {
	r := ruleOf(key)
	member := strings.Count(key, ".") > 1
	if r.call && !s.isStatement(id) {
		s.note(id.Pos(), key, r.advice)
		return
	}
	if r.advice != "" && !r.call {
		s.note(id.Pos(), key, r.advice)
	}
	switch key {
	case "plugin.HandshakeConfig.ProtocolVersion":
		s.protocolVersion(id)
	case "plugin.Client.Kill":
		// tenon's Kill is SIGKILL at once: left alone, it would be another thing.
		if !s.isStatement(id) {
			s.note(id.Pos(), key, "Close, which asks first as Kill did, and returns an error; Kill is SIGKILL at once")
		}
	case "grpc.NewServer":
		s.newServer(id)
	}
	switch {
	case r.to == "":
	case member:
		s.replace(id.Pos(), id.End(), r.to, key+" becomes "+r.to)
	default:
		s.qualified(id, key, r.to)
	}
}

// mayBeKill reports whether a name without a rule may be the Kill of a plugin.Client: a
// method of an unknown type, or one of an interface that a client implements, either
// where the interface is declared or, if that is in another package, where it is
// called. Left alone it would compile, but mean something else.
func (s *source) mayBeKill(id *ast.Ident) bool {
	if !s.pkg.hasClients() {
		return false
	}
	switch parent := s.parents[id].(type) {
	case *ast.SelectorExpr:
		if parent.Sel != id || s.qualifier(parent) != nil {
			return false
		}
		if method := s.pkg.info.Uses[id]; method != nil && !s.ofOthersInterface(method) {
			return false
		}
		call, ok := s.parents[parent].(*ast.CallExpr)
		return !ok || call.Fun != ast.Expr(parent) || len(call.Args) == 0 && s.isStatement(id)
	case *ast.Field:
		fn, ok := parent.Type.(*ast.FuncType)
		_, method := s.parents[s.parents[parent]].(*ast.InterfaceType)
		return ok && method && len(fn.Params.List) == 0 && fn.Results == nil
	}
	return false
}

// ofOthersInterface reports whether something is a method of another package's
// interface.
func (s *source) ofOthersInterface(obj types.Object) bool {
	method, ok := obj.(*types.Func)
	if !ok || method.Pkg() == s.pkg.types {
		return false
	}
	recv := method.Signature().Recv()
	return recv != nil && types.IsInterface(recv.Type())
}

// hasClients reports whether a package imports go-plugin, or what replaces it.
func (p *unit) hasClients() bool {
	for _, s := range p.files {
		for _, spec := range s.syntax.Imports {
			switch strings.Trim(spec.Path.Value, "\"`") {
			case oldPlugin, ours + "/plugin", hostPath:
				return true
			}
		}
	}
	return false
}

// qualified replaces a name of a package, and its qualifier if it moves to another
// package.
func (s *source) qualified(id *ast.Ident, key, to string) {
	target, name, _ := strings.Cut(to, ".")
	what := key + " becomes " + to
	if target != "host" {
		s.replace(id.Pos(), id.End(), name, what)
		return
	}
	start := id.Pos()
	if sel, ok := s.parents[id].(*ast.SelectorExpr); ok && sel.Sel == id {
		start = sel.Pos()
		if pkg := s.qualifier(sel); pkg != nil {
			s.count(pkg).after--
		}
	}
	s.replace(start, id.End(), s.need(hostPath)+"."+name, what)
}

// isStatement reports whether a method's name is called for its effect alone.
func (s *source) isStatement(id *ast.Ident) bool {
	sel, ok := s.parents[id].(*ast.SelectorExpr)
	if !ok {
		return false
	}
	call, ok := s.parents[sel].(*ast.CallExpr)
	if !ok || call.Fun != ast.Expr(sel) {
		return false
	}
	switch s.parents[call].(type) {
	case *ast.ExprStmt, *ast.DeferStmt, *ast.GoStmt:
		return true
	}
	return false
}

// protocolVersion notes where a version's type matters, which was uint and is int.
func (s *source) protocolVersion(id *ast.Ident) {
	switch parent := s.parents[id].(type) {
	case *ast.KeyValueExpr:
		if literal(parent.Value) || constant(s.pkg.info, parent.Value) {
			return
		}
	case *ast.SelectorExpr:
		if assign, ok := s.parents[parent].(*ast.AssignStmt); ok && len(assign.Rhs) == 1 && literal(assign.Rhs[0]) {
			return
		}
	}
	s.note(id.Pos(), "plugin.HandshakeConfig.ProtocolVersion", "it is an int here, and was a uint: convert it where the compiler says so")
}

func literal(e ast.Expr) bool {
	l, ok := e.(*ast.BasicLit)
	return ok && l.Kind == token.INT
}

// constant reports whether an expression is a constant without a type.
func constant(info *types.Info, e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	if sel, isSel := e.(*ast.SelectorExpr); isSel {
		id, ok = sel.Sel, true
	}
	if !ok {
		return false
	}
	c, ok := info.Uses[id].(*types.Const)
	if !ok {
		return false
	}
	basic, ok := c.Type().(*types.Basic)
	return ok && basic.Info()&types.IsUntyped != 0
}

// newServer adds to a NewServer without arguments the configuration that means the
// same.
func (s *source) newServer(id *ast.Ident) {
	var fun ast.Expr = id
	if sel, ok := s.parents[id].(*ast.SelectorExpr); ok && sel.Sel == id {
		fun = sel
	}
	if call, ok := s.parents[fun].(*ast.CallExpr); ok && call.Fun == fun && len(call.Args) == 0 {
		s.replace(call.Lparen+1, call.Rparen, "nil", "grpc.NewServer() becomes grpc.NewServer(nil)")
		return
	}
	s.note(id.Pos(), "grpc.NewServer", serverCfg)
}
