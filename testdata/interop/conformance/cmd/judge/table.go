package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// The markers between which the table stands in the README.
const (
	beginMark = "<!-- conformance: begin -->\n"
	endMark   = "<!-- conformance: end -->\n"
)

// table is the results as a table in Markdown. It has counts alone, so that it
// is the same after every good run.
func table(results []result) string {
	var b strings.Builder
	b.WriteString("| judge | passed | of | others pass |\n| --- | ---: | ---: | --- |\n")
	for _, r := range results {
		fmt.Fprintf(&b, "| %s | %d | %d | %s |\n", r.what, r.passed, r.want, r.others)
	}
	for _, r := range results {
		if r.but != "" {
			fmt.Fprintf(&b, "\n%s\n", r.but)
		}
	}
	return b.String()
}

// writeReadme puts the table between the markers of a file. A file that is not
// there, or has no markers, is left alone.
func writeReadme(path, table string) error {
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Println(path, "is not there: the counts are written nowhere")
		return nil
	} else if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(text, []byte(beginMark))
	_, after, ended := bytes.Cut(rest, []byte(endMark))
	if !ok || !ended {
		fmt.Printf("%s has no markers %q and %q: the counts are written nowhere\n", path, beginMark, endMark)
		return nil
	}
	next := bytes.Join([][]byte{before, []byte(beginMark), []byte(table), []byte(endMark), after}, nil)
	if bytes.Equal(next, text) {
		return nil
	}
	return os.WriteFile(path, next, 0o666)
}
