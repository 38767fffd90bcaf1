package check

import (
	"bytes"
	"fmt"
	"go/ast"
	"regexp"
	"slices"
	"strings"
)

// keptFile has the table of what a peer can make the other end keep.
const keptFile = "h2grpc/README.md"

// keptHead is the head of that table.
const keptHead = "| what is kept | budget | at the bound | seen in |"

// attacks is where the attacks are listed, each as a literal with a name.
const attacks = "h2grpc/internal/attack"

var (
	quotedRow = regexp.MustCompile(`“([^”]+)”`)
	goName    = regexp.MustCompile("`([A-Za-z]\\w*(?:\\.\\w+)*)`")
)

// kept checks that every row of the table names a limit that exists, and a test or an
// attack that exists: a bound that no test reaches is only hoped for.
func kept(t *Tree) []Finding {
	text, ok := t.Texts[keptFile]
	if !ok {
		return []Finding{{keptFile, 0, "it is missing: what can a peer make us keep?"}}
	}
	var out []Finding
	found := func(line int, format string, args ...any) {
		out = append(out, Finding{keptFile, line + 1, fmt.Sprintf(format, args...)})
	}
	limits := t.limitNames()
	rows, inside := 0, false
	for i, line := range strings.Split(string(text), "\n") {
		switch {
		case line == keptHead:
			inside = true
			continue
		case !strings.HasPrefix(line, "|"):
			inside = false
		}
		if !inside || strings.HasPrefix(line, "| ---") {
			continue
		}
		rows++
		cells := strings.Split(line, "|")
		if len(cells) != 6 {
			found(i, "a row has four cells: %s", keptHead)
			continue
		}
		names := goName.FindAllStringSubmatch(cells[2], -1)
		if len(names) == 0 {
			found(i, "no limit is named")
		}
		for _, m := range names {
			if name := m[1][strings.LastIndexByte(m[1], '.')+1:]; !limits[name] {
				found(i, "there is no constant and no field %s", m[1])
			}
		}
		if t.shows(cells[4], func(missing string) { found(i, "there is no %s", missing) }) == 0 {
			found(i, "nothing shows it: name a test, or an attack as “its row's name”")
		}
	}
	if rows == 0 {
		found(0, "it has no table that begins with %s", keptHead)
	}
	return out
}

// shows counts the tests and attacks that a cell names, and reports those that do not
// exist to missing.
func (t *Tree) shows(cell string, missing func(string)) (n int) {
	for _, m := range quotedRow.FindAllStringSubmatch(cell, -1) {
		n++
		literal := []byte(fmt.Sprintf("%q", m[1]))
		if !slices.ContainsFunc(t.Files, func(f *File) bool { return f.Dir == attacks && bytes.Contains(t.Texts[f.Path], literal) }) {
			missing("attack “" + m[1] + "”")
		}
	}
	dir := ""
	for _, m := range testName.FindAllStringSubmatch(cell, -1) {
		if m[1] == "" {
			dir = m[2]
			continue
		}
		n++
		if !t.hasTest(dir, m[1]) {
			missing(strings.TrimSpace(dir + " " + m[1]))
		}
	}
	return n
}

// hasTest reports whether a test of that name exists, in dir unless that is "".
func (t *Tree) hasTest(dir, name string) bool {
	return slices.ContainsFunc(t.Files, func(f *File) bool {
		return f.Test && (dir == "" || f.Dir == dir) && bytes.Contains(t.Texts[f.Path], []byte("\nfunc "+name+"(t *testing.T) {\n"))
	})
}

// limitNames returns the names of the constants, the package-level variables and
// the exported fields of the root module's packages.
func (t *Tree) limitNames() map[string]bool {
	names := make(map[string]bool)
	for _, f := range t.Files {
		if f.Test || f.Nested {
			continue
		}
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			var ids []*ast.Ident
			switch n := n.(type) {
			case *ast.ValueSpec:
				ids = n.Names
			case *ast.Field:
				ids = n.Names
			}
			for _, id := range ids {
				names[id.Name] = true
			}
			return true
		})
	}
	return names
}
