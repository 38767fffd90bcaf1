package check

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The README, which takes five minutes to read, and the document with the table of
// lines.
const (
	readmeFile = "README.md"
	mostReadme = 10 << 10
	LinesFile  = "cmd/internal/check/README.md"
)

// documents checks the documents against the repository: their links lead somewhere,
// their Go and proto code is that of files which are compiled and run, the make targets
// and tests that they name exist, and the table of lines is right. The README may have
// no more than mostReadme bytes.
func documents(t *Tree) []Finding {
	var out []Finding
	if n := len(t.Texts[readmeFile]); n == 0 || n > mostReadme {
		out = append(out, Finding{readmeFile, 0, fmt.Sprintf("the README has %d bytes; it must have some, and at most %d: long texts belong beside the code", n, mostReadme)})
	}
	for _, name := range t.paths() {
		if path.Ext(name) == ".md" {
			out = append(out, document(t, name)...)
		}
	}
	return out
}

func document(t *Tree, name string) []Finding {
	r := &documentChecker{tree: t, name: name, lines: strings.Split(string(t.Texts[name]), "\n")}
	for i := 0; i < len(r.lines); i++ {
		line := r.lines[i]
		if language, ok := strings.CutPrefix(line, "```"); ok {
			end := i + 1
			for end < len(r.lines) && r.lines[end] != "```" {
				end++
			}
			r.block(i, end, language)
			i = end
			continue
		}
		r.links(i)
		r.targets(i, line)
		r.row(i)
		r.tests(i)
	}
	if name == LinesFile {
		r.missing()
	}
	return r.out
}

type documentChecker struct {
	tree  *Tree
	name  string
	lines []string
	file  string // the last file linked to in the text
	rows  map[string]bool
	out   []Finding

	inThreats bool // the line is in the table of threats
}

// found notes what is wrong with a line, counted from 0.
func (r *documentChecker) found(line int, format string, args ...any) {
	r.out = append(r.out, Finding{r.name, line + 1, fmt.Sprintf(format, args...)})
}

// testName is the name of a test, or a package in backquotes, whose tests follow.
// Other things in backquotes may be another library's tests.
var testName = regexp.MustCompile("(?:^|[ (])(Test[A-Z]\\w*)|`([a-z0-9/]+)`")

// threats is the head of the table whose every row names a test.
const threats = "| threat | outcome | test |"

// tests checks that the tests that a line names exist, in the package that it names
// before them, if any.
func (r *documentChecker) tests(i int) {
	dir, named := "", 0
	for _, match := range testName.FindAllStringSubmatch(r.lines[i], -1) {
		name := match[1]
		if name == "" {
			dir = match[2]
			continue
		}
		named++
		there := r.tree.hasTest(dir, name)
		switch {
		case !there && dir != "":
			r.found(i, "%s has no test %s", dir, name)
		case !there:
			r.found(i, "there is no test %s", name)
		}
	}
	switch line := r.lines[i]; {
	case line == threats:
		r.inThreats = true
	case !strings.HasPrefix(line, "|"):
		r.inThreats = false
	case r.inThreats && named == 0 && !strings.HasPrefix(line, "| ---"):
		r.found(i, "no test is named that covers this")
	}
}

// block checks a block of code between the fences in the lines begin and end.
func (r *documentChecker) block(begin, end int, language string) {
	code := r.lines[begin+1 : end]
	if language != "go" && language != "proto" {
		for i, line := range code {
			r.targets(begin+1+i, line)
		}
		return
	}
	want, ok := r.tree.Texts[r.file]
	if !ok || r.file == "" {
		r.found(begin, "code that nothing compiles: link to a file with the same code in the text before it")
		return
	}
	wanted := strings.Split(strings.TrimSuffix(string(want), "\n"), "\n")
	for i := range max(len(code), len(wanted)) {
		if i >= len(code) || i >= len(wanted) || code[i] != wanted[i] {
			r.found(min(begin+1+i, end), "the code is not that of %s", r.file)
			return
		}
	}
}

var (
	link     = regexp.MustCompile(`\]\(([^)#]*)(?:#([^)]*))?\)`)
	codeSpan = regexp.MustCompile("`[^`]*`")
)

func (r *documentChecker) links(i int) {
	text := codeSpan.ReplaceAllString(r.lines[i], "code") // as in a[i](x)
	for _, m := range link.FindAllStringSubmatch(text, -1) {
		if strings.Contains(m[1], "://") {
			continue
		}
		to := r.name
		if m[1] != "" {
			to = path.Join(path.Dir(r.name), m[1])
			r.file = to
		}
		if !r.exists(to) || m[2] != "" && !r.heading(to, m[2]) {
			r.found(i, "the link to %s leads nowhere", m[1]+strings.TrimSuffix("#"+m[2], "#"))
		}
	}
}

var notInAnchors = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)

// heading reports whether a document has a heading with that anchor, as GitHub makes
// anchors.
func (r *documentChecker) heading(name, anchor string) bool {
	for line := range strings.Lines(string(r.tree.Texts[name])) {
		title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " ")
		if ok && strings.HasPrefix(line, "#") && strings.ReplaceAll(notInAnchors.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), ""), " ", "-") == anchor {
			return true
		}
	}
	return false
}

// exists reports whether a text or a directory of that name exists.
func (r *documentChecker) exists(name string) bool {
	if name == "." {
		return true
	}
	for file := range r.tree.Texts {
		if under(file, name) {
			return true
		}
	}
	return false
}

var command = regexp.MustCompile("(?:^|`)make ([a-z-]+)")

func (r *documentChecker) targets(i int, line string) {
	for _, m := range command.FindAllStringSubmatch(line, -1) {
		if !bytes.Contains(r.tree.Texts["Makefile"], []byte("\n"+m[1]+":")) {
			r.found(i, "the Makefile has no target %s", m[1])
		}
	}
}

// The rows of the table of lines: a package, or everything that a package links.
var (
	packageRow = regexp.MustCompile("^\\| \\[`([^`]+)`\\]\\([^)]*\\) \\| ([0-9]+) \\|")
	sumRow     = regexp.MustCompile("^\\| all that `([^`]+)` links \\| ([0-9]+) \\|")
)

func (r *documentChecker) row(i int) {
	var said string
	var is int
	if m := packageRow.FindStringSubmatch(r.lines[i]); m != nil {
		if r.rows == nil {
			r.rows = make(map[string]bool)
		}
		r.rows[m[1]] = true
		said, is = m[2], r.tree.codeLines(m[1])
	} else if m := sumRow.FindStringSubmatch(r.lines[i]); m != nil {
		said = m[2]
		is = r.tree.linkedLines(m[1])
	} else {
		return
	}
	if n, _ := strconv.Atoi(said); n != is || is == 0 {
		r.found(i, "the table says %d lines of code, and there are %d: make lines counts them anew", n, is)
	}
}

// missing checks that every package has a row.
func (r *documentChecker) missing() {
	var dirs []string
	for _, f := range r.tree.Files {
		if f.written() && !slices.Contains(dirs, f.Dir) {
			dirs = append(dirs, f.Dir)
		}
	}
	for _, dir := range dirs {
		if n := r.tree.codeLines(dir); !r.rows[dir] && n > 0 {
			r.out = append(r.out, Finding{LinesFile, 0, fmt.Sprintf("the table of lines lacks %s, which has %d", dir, n)})
		}
	}
}

// Lines returns LinesFile with the numbers of its table counted again.
func Lines(t *Tree) []byte {
	var out bytes.Buffer
	for line := range strings.Lines(string(t.Texts[LinesFile])) {
		n := 0
		m := packageRow.FindStringSubmatchIndex(line)
		if m != nil {
			n = t.codeLines(line[m[2]:m[3]])
		} else if m = sumRow.FindStringSubmatchIndex(line); m != nil {
			n = t.linkedLines(line[m[2]:m[3]])
		}
		if m != nil {
			line = line[:m[4]] + strconv.Itoa(n) + line[m[5]:]
		}
		out.WriteString(line)
	}
	return out.Bytes()
}

var noCode = regexp.MustCompile(`^\s*(//.*)?$`)

// codeLines returns how many lines of a package's own code are neither blank
// nor a comment. Tests and generated code do not count.
func (t *Tree) codeLines(dir string) int {
	n := 0
	for _, f := range t.Files {
		if f.Dir != dir || !f.written() {
			continue
		}
		for line := range strings.Lines(string(t.Texts[f.Path])) {
			if !noCode.MatchString(strings.TrimSuffix(line, "\n")) {
				n++
			}
		}
	}
	return n
}

// linkedLines is codeLines of all that the package in dir links.
func (t *Tree) linkedLines(dir string) int {
	n := 0
	for _, dir := range t.linked(dir) {
		n += t.codeLines(dir)
	}
	return n
}

// linked returns the root module's packages that the package in dir links,
// itself included.
func (t *Tree) linked(dir string) []string {
	dirs := []string{dir}
	for i := 0; i < len(dirs); i++ {
		for _, f := range t.Files {
			if f.Dir != dirs[i] || f.Test {
				continue
			}
			for _, spec := range f.Syntax.Imports {
				imported, _ := strconv.Unquote(spec.Path.Value)
				to, ours := strings.CutPrefix(imported, Module+"/")
				if ours && !slices.Contains(dirs, to) {
					dirs = append(dirs, to)
				}
			}
		}
	}
	return dirs
}
