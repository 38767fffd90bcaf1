// Command audit prints what an auditor of this repository asks for first: how
// large the packages are and what they import, which places touch memory, the
// system or cryptography, every limit with its reason, and the modules that come
// along with their hashes and licences. "make audit" runs it, and govulncheck
// after it.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tenonrpc/tenon/cmd/internal/check"
)

func main() {
	w := bufio.NewWriter(os.Stdout)
	err := audit(w, ".")
	if flushed := w.Flush(); err == nil {
		err = flushed
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "audit:", err)
		os.Exit(1)
	}
}

// audit writes the report on the repository whose top is dir.
func audit(w io.Writer, dir string) error {
	tree, err := check.Load(dir)
	if err != nil {
		return err
	}
	if len(tree.Files) == 0 {
		return fmt.Errorf("no Go files below %s: run it at the repository's top", dir)
	}
	heading(w, "Packages: lines of code, and what they import")
	for _, p := range tree.Packages() {
		fmt.Fprintf(w, "%-34s %5d\n", p.Dir, p.Lines)
		list(w, "tenon", p.Ours)
		list(w, "others", p.Foreign)
		list(w, "standard library", p.Notable)
	}
	heading(w, "unsafe, reflect, syscall")
	uses(w, tree.Uses("unsafe", "reflect", "syscall"))
	heading(w, "Cryptography")
	uses(w, tree.Uses("crypto", "hash", "math/rand"))
	heading(w, "Limits and their reasons")
	file := ""
	for _, l := range tree.Limits() {
		if l.Path != file {
			file = l.Path
			fmt.Fprintln(w, file)
		}
		fmt.Fprintf(w, "  %s = %s (line %d)\n      %s\n", l.Name, l.Value, l.Line, l.Reason)
	}
	heading(w, "Modules that come along")
	return modules(w, dir)
}

func heading(w io.Writer, text string) {
	fmt.Fprintf(w, "\n%s\n%s\n", text, strings.Repeat("=", len(text)))
}

func list(w io.Writer, what string, items []string) {
	if len(items) > 0 {
		fmt.Fprintf(w, "    %s: %s\n", what, strings.Join(items, ", "))
	}
}

// uses writes a line for each name with all its places.
func uses(w io.Writer, all []check.Use) {
	places := map[string][]string{}
	var names []string
	for _, u := range all {
		if places[u.Name] == nil {
			names = append(names, u.Name)
		}
		if at := fmt.Sprintf("%s:%d", u.Path, u.Line); !slices.Contains(places[u.Name], at) {
			places[u.Name] = append(places[u.Name], at)
		}
	}
	if len(names) == 0 {
		fmt.Fprintln(w, "nowhere")
	}
	slices.Sort(names)
	for _, n := range names {
		fmt.Fprintf(w, "%-42s %s\n", n, strings.Join(places[n], " "))
	}
}

// modules writes the modules that the build list has, with the hashes that go.sum
// pins and the licence that each carries.
func modules(w io.Writer, dir string) error {
	sums, err := os.ReadFile(filepath.Join(dir, "go.sum"))
	if err != nil {
		return err
	}
	cmd := exec.Command("go", "list", "-m", "-f", "{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}", "all")
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("listing the modules: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		hash := "no code of it is used: go.sum pins its go.mod alone"
		for sum := range strings.Lines(string(sums)) {
			if s := strings.Fields(sum); len(s) == 3 && s[0] == f[0] && s[1] == f[1] {
				hash = s[2]
			}
		}
		licence := "not fetched"
		if len(f) == 3 {
			licence = licenceOf(f[2])
		}
		fmt.Fprintf(w, "%s %s\n    %s\n    licence: %s\n", f[0], f[1], hash, licence)
	}
	return nil
}

// licences are told apart by words that only they have.
var licences = []struct{ words, name string }{
	{"Permission is hereby granted, free of charge", "MIT"},
	{"Neither the name of", "BSD-3-Clause"},
	{"Apache License", "Apache-2.0"},
	{"Mozilla Public License", "MPL-2.0"},
}

func licenceOf(dir string) string {
	b, err := os.ReadFile(filepath.Join(dir, "LICENSE"))
	if err != nil {
		return "no file LICENSE"
	}
	for _, l := range licences {
		if bytes.Contains(b, []byte(l.words)) {
			return l.name
		}
	}
	return "in its file LICENSE"
}
