package main

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// A start is how hosts start a plugin with go-plugin, if all of it is in one list of
// statements:
//
//	client := plugin.NewClient(config)
//	defer client.Kill()
//	protocol, err := client.Client()
//	if err != nil { … }
//
// If there is nothing in between but deferred Kills, and protocol is only used to call
// its methods, host.Start replaces both calls.
type start struct {
	client   *ast.AssignStmt
	protocol *ast.AssignStmt
	failed   *ast.IfStmt
	kills    []ast.Stmt      // in failed, where there is nothing to end any more
	calls    []*ast.CallExpr // of methods of protocol
	name     string          // of the client
	err      string
}

// starts changes the code that starts plugins.
func (s *source) starts() {
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		var list []ast.Stmt
		switch n := n.(type) {
		case *ast.BlockStmt:
			list = n.List
		case *ast.CaseClause:
			list = n.Body
		case *ast.CommClause:
			list = n.Body
		}
		for i := range list {
			if st := s.findStart(list[i:]); st != nil {
				s.start(st)
			}
		}
		return true
	})
}

// defined returns the identifiers that a statement defines by a call, and the
// function's expression.
func defined(stmt ast.Stmt, n int) (*ast.AssignStmt, *ast.CallExpr) {
	assign, ok := stmt.(*ast.AssignStmt)
	if !ok || assign.Tok != token.DEFINE || len(assign.Lhs) != n || len(assign.Rhs) != 1 {
		return nil, nil
	}
	call, ok := assign.Rhs[0].(*ast.CallExpr)
	if !ok {
		return nil, nil
	}
	return assign, call
}

// object returns what the i-th name of a definition stands for, or nil if it is not
// new.
func (s *source) object(assign *ast.AssignStmt, i int) types.Object {
	id, ok := assign.Lhs[i].(*ast.Ident)
	if !ok {
		return nil
	}
	return s.pkg.info.Defs[id]
}

// findStart returns the start that a list of statements begins with, or nil.
func (s *source) findStart(list []ast.Stmt) *start {
	made, call := defined(list[0], 1)
	if made == nil || s.exprKey(call.Fun) != "plugin.NewClient" || len(call.Args) != 1 {
		return nil
	}
	client := s.object(made, 0)
	if client == nil {
		return nil
	}
	st := &start{client: made, name: client.Name()}
	i := 1
	for i < len(list) && s.isKill(list[i], client) {
		if _, ok := list[i].(*ast.DeferStmt); !ok {
			return nil
		}
		i++
	}
	if i+1 >= len(list) {
		return nil
	}
	st.protocol, call = defined(list[i], 2)
	if st.protocol == nil || s.exprKey(call.Fun) != "plugin.Client.Client" || s.usedBy(call.Fun) != client {
		return nil
	}
	protocol := s.object(st.protocol, 0)
	errID, ok := st.protocol.Lhs[1].(*ast.Ident)
	if protocol == nil || !ok || errID.Name == "_" {
		return nil
	}
	st.err = errID.Name
	if st.failed, ok = list[i+1].(*ast.IfStmt); !ok || st.failed.Init != nil || st.failed.Else != nil {
		return nil
	}
	if !s.onLines(st) || !s.kills(st, client) || !s.calls(st, client, protocol) || !s.packagesSeen(st) {
		return nil
	}
	return st
}

// onLines reports whether the statements are on lines of their own, without a comment
// that would be lost, so that the lines can be moved.
func (s *source) onLines(st *start) bool {
	from, _ := s.lines(st.client.Pos(), st.client.End())
	first, last := s.lines(st.protocol.Pos(), st.failed.End())
	for _, between := range [][2]int{
		{from, s.offset(st.client.Pos())},
		{first, s.offset(st.protocol.Pos())},
		{s.offset(st.protocol.End()), s.offset(st.failed.Pos())},
		{s.offset(st.failed.End()), last},
	} {
		if strings.Trim(string(s.text[between[0]:between[1]]), " \t\r\n;") != "" {
			return false
		}
	}
	return true
}

// usedBy returns the expression from which the method in fun is selected.
func (s *source) usedBy(fun ast.Expr) types.Object {
	sel, ok := fun.(*ast.SelectorExpr)
	if !ok {
		return nil
	}
	id, ok := sel.X.(*ast.Ident)
	if !ok {
		return nil
	}
	return s.pkg.info.Uses[id]
}

// isKill reports whether a statement is client.Kill(), deferred or not.
func (s *source) isKill(stmt ast.Stmt, client types.Object) bool {
	var call *ast.CallExpr
	switch stmt := stmt.(type) {
	case *ast.DeferStmt:
		call = stmt.Call
	case *ast.ExprStmt:
		call, _ = stmt.X.(*ast.CallExpr)
	}
	return call != nil && s.exprKey(call.Fun) == "plugin.Client.Kill" && s.usedBy(call.Fun) == client
}

// kills finds the Kills in the code for a failed start, and reports whether nothing
// else in it is from an old library, so that it can be moved as text.
func (s *source) kills(st *start, client types.Object) bool {
	ok := true
	ast.Inspect(st.failed, func(n ast.Node) bool {
		if stmt, is := n.(*ast.ExprStmt); is && s.isKill(stmt, client) {
			st.kills = append(st.kills, stmt)
			return false
		}
		if id, is := n.(*ast.Ident); is && (s.key(id) != "" || s.pkg.info.Uses[id] == client) {
			ok = false
		}
		return ok
	})
	return ok
}

// calls finds the calls of the protocol's methods, and reports whether it is used for
// nothing else, where the client has its name.
func (s *source) calls(st *start, client, protocol types.Object) bool {
	for id, obj := range s.pkg.info.Uses {
		if obj == client && s.isSet(id) {
			return false
		}
		if obj != protocol {
			continue
		}
		sel, ok := s.parents[id].(*ast.SelectorExpr)
		if !ok {
			return false
		}
		call, ok := s.parents[sel].(*ast.CallExpr)
		if !ok || call.Fun != ast.Expr(sel) || s.key(sel.Sel) == "" {
			return false
		}
		if s.lookup(client.Name(), id.Pos()) != client {
			return false
		}
		st.calls = append(st.calls, call)
	}
	return true
}

// isSet reports whether a variable may get another value at a use of its name: it is
// assigned to, or its address is taken.
func (s *source) isSet(id *ast.Ident) bool {
	var e ast.Expr = id
	for {
		paren, ok := s.parents[e].(*ast.ParenExpr)
		if !ok {
			break
		}
		e = paren
	}
	switch parent := s.parents[e].(type) {
	case *ast.AssignStmt:
		return slices.Contains(parent.Lhs, e)
	case *ast.RangeStmt:
		return parent.Key == e || parent.Value == e
	case *ast.UnaryExpr:
		return parent.Op == token.AND
	}
	return false
}

// packagesSeen reports whether the packages that a start needs can be named where it
// and the protocol's calls are.
func (s *source) packagesSeen(st *start) bool {
	for _, call := range append([]*ast.CallExpr{st.client.Rhs[0].(*ast.CallExpr)}, st.calls...) {
		if !s.seenAt(hostPath, call.Pos()) || s.contextVar(call) == "" && !s.seenAt(contextPath, call.Pos()) {
			return false
		}
	}
	return true
}

// start replaces a start by host.Start.
func (s *source) start(st *start) {
	host := s.need(hostPath)
	call := st.client.Rhs[0].(*ast.CallExpr)
	s.replace(st.client.Lhs[0].End(), st.client.Lhs[0].End(), ", "+st.err, "")
	s.replace(call.Fun.Pos(), call.Lparen+1, host+".Start("+s.context(call)+", ", "plugin.NewClient and plugin.Client.Client become host.Start")
	s.forget(call.Fun)

	from, _ := s.lines(st.client.Pos(), st.client.End())
	indent := string(s.text[from:s.offset(st.client.Pos())])
	failed := s.without(st.failed, st.kills)
	s.edits = append(s.edits, edit{s.offset(st.client.End()), s.offset(st.client.End()), "\n" + indent + failed, ""})
	first, last := s.lines(st.protocol.Pos(), st.failed.End())
	s.edits = append(s.edits, edit{first, last, "", ""})
	s.gone = append(s.gone, span{st.protocol.Pos(), st.protocol.End()})
	for _, kill := range st.kills {
		s.gone = append(s.gone, span{kill.Pos(), kill.End()})
	}
	for _, call := range st.calls {
		s.protocolCall(st.name, host, call)
	}
}

// forget excludes a name that has been dealt with from further changes.
func (s *source) forget(fun ast.Expr) {
	switch fun := fun.(type) {
	case *ast.Ident:
		s.seen[fun] = true
	case *ast.SelectorExpr:
		s.seen[fun.Sel] = true
		if pkg := s.qualifier(fun); pkg != nil {
			s.count(pkg).after--
		}
	}
}

// protocolCall changes a call of a method of a ClientProtocol.
func (s *source) protocolCall(client, host string, call *ast.CallExpr) {
	sel := call.Fun.(*ast.SelectorExpr)
	s.seen[sel.Sel] = true
	switch key := s.key(sel.Sel); key {
	case "plugin.ClientProtocol.Dispense":
		s.replace(call.Pos(), call.Lparen+1, host+".Dispense[any]("+s.context(call)+", "+client+", ", key+" becomes host.Dispense")
	case "plugin.ClientProtocol.Ping":
		s.replace(call.Pos(), call.Lparen+1, client+".Ping("+s.context(call), key+" becomes Ping of *host.Client")
	default:
		s.replace(call.Pos(), call.Lparen+1, client+".Close(", key+" becomes Close of *host.Client")
	}
}

// context returns an expression for the context at a node: the nearest parameter
// that is one, or a new one.
func (s *source) context(n ast.Node) string {
	if name := s.contextVar(n); name != "" {
		return name
	}
	return s.need(contextPath) + ".Background()"
}

// contextVar returns the name of the nearest parameter that is a context and is not
// hidden at a node, or "".
func (s *source) contextVar(n ast.Node) string {
	for p := s.parents[n]; p != nil; p = s.parents[p] {
		var fn *ast.FuncType
		switch p := p.(type) {
		case *ast.FuncDecl:
			fn = p.Type
		case *ast.FuncLit:
			fn = p.Type
		default:
			continue
		}
		for _, field := range fn.Params.List {
			sel, ok := field.Type.(*ast.SelectorExpr)
			if !ok || sel.Sel.Name != "Context" || len(field.Names) == 0 || field.Names[0].Name == "_" {
				continue
			}
			pkg := s.qualifier(sel)
			if pkg != nil && pkg.Imported().Path() == contextPath && s.isContextAt(field.Names[0], n.Pos()) {
				return field.Names[0].Name
			}
		}
	}
	return ""
}

// isContextAt reports whether the name of a parameter that is a context stands, at a
// position, for the parameter or for what is probably derived from it.
func (s *source) isContextAt(param *ast.Ident, at token.Pos) bool {
	obj := s.lookup(param.Name, at)
	if obj == nil || obj == s.pkg.info.Defs[param] {
		return obj != nil
	}
	if obj.Type() != types.Typ[types.Invalid] {
		return false // its type is known, and no context
	}
	for id, def := range s.pkg.info.Defs {
		if def != obj {
			continue
		}
		switch made := s.parents[id].(type) {
		case *ast.AssignStmt: // ctx, cancel := context.WithCancel(ctx)
			return true
		case *ast.ValueSpec:
			return made.Type == nil
		}
	}
	return false
}

// lines returns the offsets of the whole lines from one position to another.
func (s *source) lines(from, to token.Pos) (start, end int) {
	text := string(s.text)
	start, end = s.offset(from), s.offset(to)
	start = strings.LastIndexByte(text[:start], '\n') + 1
	if i := strings.IndexByte(text[end:], '\n'); i >= 0 {
		return start, end + i + 1
	}
	return start, len(text)
}

// without returns a statement's text without other statements in it.
func (s *source) without(stmt ast.Stmt, out []ast.Stmt) string {
	base := s.offset(stmt.Pos())
	var edits []edit
	for _, o := range out {
		start, end := deletion(s.text, s.offset(o.Pos()), s.offset(o.End()))
		edits = append(edits, edit{start - base, end - base, "", ""})
	}
	text, _, _ := apply(s.text[base:s.offset(stmt.End())], edits) // deletions cannot fail
	return string(text)
}
