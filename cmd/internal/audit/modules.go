package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// modules writes the modules of the build list, with the hashes in go.sum and the
// licence of each.
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
	var unused []string
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		hash := ""
		for sum := range strings.Lines(string(sums)) {
			if s := strings.Fields(sum); len(s) == 3 && s[0] == f[0] && s[1] == f[1] {
				hash = s[2]
			}
		}
		licence := "not fetched"
		if len(f) == 3 {
			licence = licenceOf(f[2])
		}
		if hash == "" {
			unused = append(unused, f[0]+" "+f[1])
			continue
		}
		fmt.Fprintf(w, "%s %s %s %s\n", f[0], f[1], hash, licence)
	}
	if len(unused) > 0 {
		fmt.Fprintf(w, "no code of these, which go.sum pins by their go.mod alone: %s\n", strings.Join(unused, ", "))
	}
	return nil
}

// licences are recognised by words that no other licence has.
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
