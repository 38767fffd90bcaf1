package main

import (
	"go/ast"
	"go/types"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// imports changes the imports, once it is known what the file needs.
func (s *source) imports() {
	var after *ast.ImportSpec // what new imports are put beside
	for _, spec := range s.syntax.Imports {
		imported := strings.Trim(spec.Path.Value, "\"`")
		m, ok := moveOf(imported)
		switch {
		case ok:
			if after == nil || m.short == "plugin" {
				after = spec
			}
		case s.isLocal(imported):
		case below(imported, oldPlugin), below(imported, oldGRPC):
			s.note(spec.Path.Pos(), imported, packageAdvice(imported))
		}
	}
	wanted := s.wanted()
	if after == nil {
		if len(wanted) > 0 {
			s.importFirst(wanted)
		}
		return
	}
	for _, spec := range s.syntax.Imports {
		m, ok := moveOf(strings.Trim(spec.Path.Value, "\"`"))
		if !ok {
			continue
		}
		if spec == after {
			s.importSpec(m, spec, wanted)
		} else {
			s.importSpec(m, spec, nil)
		}
	}
	if name, ok := s.needs[contextPath]; ok {
		s.importContext(specText(contextPath, name))
	}
}

// isLocal reports whether a package belongs to the file's own module; it may have the
// name of one of the old packages.
func (s *source) isLocal(imported string) bool {
	dir, ok := localDir(imported, filepath.Dir(s.path))
	if !ok {
		return false
	}
	_, err := os.Stat(dir)
	return err == nil
}

// packageAdvice returns what to do about a package that stays.
func packageAdvice(imported string) string {
	for p := imported; ; p = path.Dir(p) {
		if advice, ok := packages[p]; ok {
			return advice
		}
	}
}

// wanted returns the specs of this module's packages that the file needs.
func (s *source) wanted() []string {
	var out []string
	for _, p := range slices.Sorted(maps.Keys(s.needs)) {
		if p != contextPath {
			out = append(out, specText(p, s.needs[p]))
		}
	}
	return out
}

func specText(importPath, name string) string {
	if name == packageName(importPath) {
		return `"` + importPath + `"`
	}
	return name + ` "` + importPath + `"`
}

// importSpec changes one import, and puts others beside it.
func (s *source) importSpec(m move, spec *ast.ImportSpec, beside []string) {
	what := m.from + " becomes " + m.to
	obj, _ := s.pkg.info.Implicits[spec].(*types.PkgName)
	if spec.Name != nil {
		obj, _ = s.pkg.info.Defs[spec.Name].(*types.PkgName)
	}
	unused := false
	if u := s.used[obj]; obj != nil && u != nil {
		unused = u.before > 0 && u.after == 0
	}
	decl, _ := s.parents[spec].(*ast.GenDecl)
	switch {
	case unused && len(beside) > 0:
		s.replace(spec.Pos(), spec.End(), beside[0], m.from+" becomes "+strings.ReplaceAll(strings.Join(beside, " and "), `"`, ""))
		beside = beside[1:]
	case unused && decl != nil && !decl.Lparen.IsValid():
		s.remove(decl, m.from+" is not needed")
	case unused:
		s.remove(spec, m.from+" is not needed")
	case m.short == "grpc" && spec.Name == nil:
		s.replace(spec.Path.Pos(), spec.Path.End(), `grpc "`+m.to+`"`, what)
	default:
		s.replace(spec.Path.Pos(), spec.Path.End(), `"`+m.to+`"`, what)
	}
	if len(beside) > 0 {
		s.importBeside(spec, beside)
	}
}

// importBeside adds imports after another one.
func (s *source) importBeside(spec *ast.ImportSpec, beside []string) {
	decl, _ := s.parents[spec].(*ast.GenDecl)
	indent := "\t"
	if decl != nil && !decl.Lparen.IsValid() {
		indent = "import "
	}
	_, end := s.lines(spec.Pos(), spec.End())
	if decl != nil && decl.Lparen.IsValid() && s.offset(decl.Rparen) < end {
		// All of them are on one line.
		s.replace(decl.Rparen, decl.Rparen, "; "+strings.Join(beside, "; "), "")
		return
	}
	var text strings.Builder
	for _, b := range beside {
		text.WriteString(indent + b + "\n")
	}
	s.edits = append(s.edits, edit{end, end, text.String(), ""})
}

// importFirst adds imports to a file that imports no old package, because a type of the
// program is one of theirs: after the others, or after the package clause.
func (s *source) importFirst(specs []string) {
	others := slices.DeleteFunc(slices.Clone(s.syntax.Imports), isC)
	if len(others) > 0 {
		s.importBeside(others[len(others)-1], specs)
		return
	}
	after := ast.Node(s.syntax.Name)
	if n := len(s.syntax.Imports); n > 0 {
		after = s.parents[s.syntax.Imports[n-1]]
	}
	_, end := s.lines(after.Pos(), after.End())
	s.edits = append(s.edits, edit{end, end, "\nimport " + strings.Join(specs, "\nimport ") + "\n", ""})
}

// isC reports whether an import is cgo's, which the comment before it belongs to.
func isC(spec *ast.ImportSpec) bool { return spec.Path.Value == `"C"` }

// importContext adds the import of context to a file that imports an old package, in
// the first group if that is the standard library's.
func (s *source) importContext(text string) {
	first := slices.DeleteFunc(slices.Clone(s.syntax.Imports), isC)[0]
	decl, _ := s.parents[first].(*ast.GenDecl)
	if !decl.Lparen.IsValid() {
		pos := decl.Pos()
		if decl.Doc != nil {
			pos = decl.Doc.Pos()
		}
		s.replace(pos, pos, "import "+text+"\n\n", "")
		return
	}
	sep := "\n\t"
	if host, _, _ := strings.Cut(strings.Trim(first.Path.Value, "\"`"), "/"); strings.Contains(host, ".") {
		sep = "\n\n\t"
	}
	pos := first.Pos()
	if first.Doc != nil {
		pos = first.Doc.Pos()
	}
	s.replace(pos, pos, text+sep, "")
}
