package main

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// embedded deletes what plugins embed to have the methods for net/rpc, or to be a
// Plugin at all, if they have both required methods themselves.
func (s *source) embedded() {
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		field, ok := n.(*ast.Field)
		if !ok || len(field.Names) > 0 || s.isGone(n.Pos()) {
			return true
		}
		list, _ := s.parents[field].(*ast.FieldList)
		st, ok := s.parents[list].(*ast.StructType)
		if !ok {
			return true
		}
		key := s.exprKey(field.Type)
		switch key {
		case "plugin.NetRPCUnsupportedPlugin":
		case "plugin.Plugin", "plugin.GRPCPlugin":
			if !s.servesItself(st) {
				return true
			}
		default:
			return true
		}
		if !s.named(field) {
			s.remove(field, key+" is no longer embedded: GRPCServer and GRPCClient are its only methods")
		}
		return true
	})
}

// servesItself reports whether a struct's type has both methods of a Plugin.
func (s *source) servesItself(st *ast.StructType) bool {
	spec, ok := s.parents[st].(*ast.TypeSpec)
	if !ok {
		return false
	}
	obj := s.pkg.info.Defs[spec.Name]
	if obj == nil {
		return false
	}
	named, ok := obj.Type().(*types.Named)
	if !ok {
		return false
	}
	n := 0
	for method := range named.Methods() {
		if method.Name() == "GRPCServer" || method.Name() == "GRPCClient" {
			n++
		}
	}
	return n == 2
}

// named reports whether the package refers to an embedded field by its name.
func (s *source) named(field *ast.Field) bool {
	id, ok := field.Type.(*ast.Ident)
	if sel, isSel := field.Type.(*ast.SelectorExpr); isSel {
		id, ok = sel.Sel, true
	}
	if !ok {
		return true
	}
	for _, obj := range s.pkg.info.Uses {
		if v, ok := obj.(*types.Var); ok && v.IsField() && v.Embedded() && v.Pos() == id.Pos() {
			return true
		}
	}
	return false
}

// literals changes the configurations of hosts and plugins.
func (s *source) literals() {
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			switch s.pkg.universe.keyOf(s.pkg.info.TypeOf(n)) {
			case "plugin.ServeConfig":
				s.serveConfig(n)
			case "plugin.ClientConfig":
				s.clientConfig(n)
			}
		default:
			s.made(n)
		}
		return true
	})
}

// made notes configurations that a node makes without a literal: as the zero value of a
// variable, or as part of something else.
func (s *source) made(n ast.Node) {
	switch n := n.(type) {
	case *ast.ValueSpec:
		if len(n.Values) == 0 {
			s.noLiteral(n.Type)
		}
	case *ast.TypeSpec:
		if !n.Assign.IsValid() {
			s.noLiteral(n.Type)
		}
	case *ast.StructType:
		for _, field := range n.Fields.List {
			s.noLiteral(field.Type)
		}
	case *ast.ArrayType:
		if _, counted := n.Len.(*ast.Ellipsis); n.Len != nil && !counted {
			s.noLiteral(n.Elt)
		}
	case *ast.FuncDecl:
		s.namedResults(n.Type)
	case *ast.FuncLit:
		s.namedResults(n.Type)
	case *ast.CallExpr:
		if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "new" && len(n.Args) == 1 {
			s.noLiteral(n.Args[0])
		} else if ok && id.Name == "make" && len(n.Args) > 1 && s.source(n.Args[1]) != "0" {
			s.noLiteralIn(n.Args[0])
		}
	}
}

func (s *source) namedResults(fn *ast.FuncType) {
	if fn.Results == nil {
		return
	}
	for _, field := range fn.Results.List {
		if len(field.Names) > 0 {
			s.noLiteral(field.Type)
		}
	}
}

// noLiteralIn is noLiteral for the elements of a slice.
func (s *source) noLiteralIn(e ast.Expr) {
	t := s.pkg.info.TypeOf(e)
	if t == nil {
		return
	}
	if slice, ok := t.Underlying().(*types.Slice); ok {
		s.noteConfig(e.Pos(), s.pkg.universe.valueKey(slice.Elem()))
	}
}

// noLiteral notes a type that is a configuration, if a value of it is made without a
// literal.
func (s *source) noLiteral(e ast.Expr) {
	if e != nil {
		s.noteConfig(e.Pos(), s.pkg.universe.valueKey(s.pkg.info.TypeOf(e)))
	}
}

func (s *source) noteConfig(at token.Pos, key string) {
	switch key {
	case "plugin.ServeConfig":
		s.note(at, key, "set Reflection to reflection.Register of h2grpc/reflection, if the plugin is to have gRPC reflection, as go-plugin's do")
	case "plugin.ClientConfig":
		s.note(at, key, "set InheritEnv, if the plugin is to have the host's environment, as go-plugin's do without SkipHostEnv")
	}
}

// elements returns a literal's elements by their keys, and whether all have one.
func elements(lit *ast.CompositeLit) (map[string]*ast.KeyValueExpr, bool) {
	out := make(map[string]*ast.KeyValueExpr)
	for _, e := range lit.Elts {
		kv, ok := e.(*ast.KeyValueExpr)
		if !ok {
			return nil, false
		}
		if id, ok := kv.Key.(*ast.Ident); ok {
			out[id.Name] = kv
		}
	}
	return out, true
}

func (s *source) serveConfig(lit *ast.CompositeLit) {
	at, ok := elements(lit)
	if !ok {
		s.note(lit.Pos(), "plugin.ServeConfig", "name the fields: there are others, in another order")
		return
	}
	if kv := at["GRPCServer"]; kv != nil && s.isDefaultServer(kv.Value) {
		s.remove(kv, "plugin.ServeConfig.GRPCServer is not needed")
	}
	s.insert(lit, "Reflection: "+s.need(reflectionPath)+".Register", "plugin.ServeConfig gets Reflection, which go-plugin's plugins always have")
}

// isDefaultServer reports whether a GRPCServer is the one without options.
func (s *source) isDefaultServer(e ast.Expr) bool {
	if s.exprKey(e) == "plugin.DefaultGRPCServer" {
		return true
	}
	fn, ok := e.(*ast.FuncLit)
	if !ok || len(fn.Body.List) != 1 {
		return false
	}
	params := fn.Type.Params.List
	ret, ok := fn.Body.List[0].(*ast.ReturnStmt)
	if !ok || len(ret.Results) != 1 || len(params) != 1 || len(params[0].Names) != 1 {
		return false
	}
	call, ok := ret.Results[0].(*ast.CallExpr)
	if !ok || s.exprKey(call.Fun) != "grpc.NewServer" || len(call.Args) != 1 {
		return false
	}
	arg, ok := call.Args[0].(*ast.Ident)
	return ok && arg.Name == params[0].Names[0].Name && call.Ellipsis.IsValid()
}

func (s *source) clientConfig(lit *ast.CompositeLit) {
	at, ok := elements(lit)
	if !ok {
		s.note(lit.Pos(), "plugin.ClientConfig", "name the fields: there are others, in another order")
		return
	}
	const of = "plugin.ClientConfig."
	if kv := at["AllowedProtocols"]; kv != nil {
		s.protocols(kv)
	}
	if kv := at["Managed"]; kv != nil && s.source(kv.Value) == "false" {
		s.remove(kv, of+"Managed is not needed")
	}
	if kv := at["PluginLogBufferSize"]; kv != nil && literal(kv.Value) {
		s.remove(kv, of+"PluginLogBufferSize is not needed")
	}
	switch kv := at["AutoMTLS"]; {
	case kv == nil:
		if at["TLSConfig"] == nil && at["Reattach"] == nil {
			s.note(lit.Pos(), "plugin.ClientConfig", "AutoMTLS was off and is on: plugins that cannot do it are refused, unless InsecurePlaintext: true is set")
		}
	case s.source(kv.Value) == "true" || s.source(kv.Value) == "false" && at["TLSConfig"] != nil:
		s.remove(kv, of+"AutoMTLS is the default")
	case at["TLSConfig"] == nil:
		s.inverse(kv, "InsecurePlaintext")
	}
	switch kv := at["SkipHostEnv"]; {
	case kv == nil:
		s.insert(lit, "InheritEnv: true", "plugin.ClientConfig gets InheritEnv, which go-plugin's hosts have unless told otherwise")
	case s.source(kv.Value) == "true":
		s.remove(kv, of+"SkipHostEnv is the default")
	default:
		s.inverse(kv, "InheritEnv")
	}
	s.merge(at, "Output", [][2]string{{"SyncStdout", "Stdout"}, {"SyncStderr", "Stderr"}, {"Stderr", "RawStderr"}})
	if at["UnixSocketConfig"] == nil {
		s.merge(at, "Sockets", [][2]string{{"MinPort", "MinPort"}, {"MaxPort", "MaxPort"}})
	}
}

// protocols deletes AllowedProtocols, if it is a list of the protocols by their names.
func (s *source) protocols(kv *ast.KeyValueExpr) {
	list, ok := kv.Value.(*ast.CompositeLit)
	if !ok {
		return
	}
	netRPC := false
	for _, e := range list.Elts {
		switch s.exprKey(e) {
		case "plugin.ProtocolGRPC":
		case "plugin.ProtocolNetRPC":
			netRPC = true
		default:
			return
		}
	}
	const field = "plugin.ClientConfig.AllowedProtocols"
	if netRPC {
		s.note(kv.Pos(), field, "it is deleted: gRPC is the only protocol, and a plugin that speaks only net/rpc can no longer be started")
	}
	s.remove(kv, field+" is not needed")
}

// inverse replaces a field by another with the opposite meaning.
func (s *source) inverse(kv *ast.KeyValueExpr, name string) {
	key := kv.Key.(*ast.Ident)
	s.seen[key] = true
	what := "plugin.ClientConfig." + key.Name + " becomes " + name + ", its opposite"
	switch value := kv.Value.(type) {
	case *ast.Ident, *ast.SelectorExpr, *ast.CallExpr, *ast.ParenExpr:
		text := name + ": !"
		switch s.source(value) {
		case "false":
			s.replace(kv.Pos(), kv.End(), name+": true", what)
			return
		case "true":
			s.replace(kv.Pos(), kv.End(), name+": false", what)
			return
		}
		s.replace(kv.Pos(), value.Pos(), text, what)
	default:
		s.replace(kv.Pos(), value.Pos(), name+": !(", what)
		s.replace(value.End(), value.End(), ")", "")
	}
}

// merge replaces several fields by one, a struct of package host that has them.
func (s *source) merge(at map[string]*ast.KeyValueExpr, name string, fields [][2]string) {
	var parts []string
	var found []*ast.KeyValueExpr
	for _, f := range fields {
		kv := at[f[0]]
		if kv == nil {
			continue
		}
		if !s.simple(kv.Value) || name == "Sockets" && !literal(kv.Value) {
			return
		}
		parts = append(parts, f[1]+": "+s.source(kv.Value))
		found = append(found, kv)
	}
	if len(found) == 0 {
		return
	}
	slices.SortFunc(found, func(a, b *ast.KeyValueExpr) int { return int(a.Pos() - b.Pos()) })
	for _, kv := range found[1:] {
		s.remove(kv, "")
	}
	first := found[0]
	s.replace(first.Pos(), first.End(), name+": "+s.need(hostPath)+"."+name+"{"+strings.Join(parts, ", ")+"}",
		"plugin.ClientConfig has "+name+" for what was "+keys(found))
	s.gone = append(s.gone, span{first.Pos(), first.End()})
}

func keys(kvs []*ast.KeyValueExpr) string {
	var names []string
	for _, kv := range kvs {
		names = append(names, kv.Key.(*ast.Ident).Name)
	}
	return strings.Join(names, ", ")
}

// simple reports whether an expression is on one line and has no old name in it.
func (s *source) simple(e ast.Expr) bool {
	if strings.ContainsRune(s.source(e), '\n') {
		return false
	}
	ok := true
	ast.Inspect(e, func(n ast.Node) bool {
		if id, is := n.(*ast.Ident); is && s.key(id) != "" {
			ok = false
		}
		return ok
	})
	return ok
}

// insert adds a field to a literal: as the last line, if its fields are on lines,
// and otherwise as the first field, where no comma can be missing.
func (s *source) insert(lit *ast.CompositeLit, field, what string) {
	closing := s.offset(lit.Rbrace)
	start := strings.LastIndexByte(string(s.text[:closing]), '\n') + 1
	indent := string(s.text[start:closing])
	if strings.TrimSpace(indent) == "" {
		s.edits = append(s.edits, edit{start, start, indent + "\t" + field + ",\n", what})
		return
	}
	if len(lit.Elts) > 0 {
		field += ", "
	}
	s.replace(lit.Lbrace+1, lit.Lbrace+1, field, what)
}
