package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

// The markers between which the table stands in the README.
const (
	beginMark = "<!-- languages: begin -->\n"
	endMark   = "<!-- languages: end -->\n"
)

// table is what works, in Markdown. It is the same after every good run.
func table(languages []*language) string {
	var (
		b       strings.Builder
		reasons []string
	)
	fmt.Fprintf(&b, "| language | side | %s |\n", strings.Join(features, " | "))
	fmt.Fprintf(&b, "| --- | --- |%s\n", strings.Repeat(" --- |", len(features)))
	for _, l := range languages {
		for _, side := range []string{"plugin", "host"} {
			if l.cases[side] == nil {
				continue
			}
			fmt.Fprintf(&b, "| [%s](%s) %s | %s |", l.name, l.name, l.version, side)
			for _, feature := range features {
				c := l.cases[side][feature]
				if c.limit == "" {
					b.WriteString(" yes |")
					continue
				}
				n := 0
				for n < len(reasons) && reasons[n] != c.limit {
					n++
				}
				if n == len(reasons) {
					reasons = append(reasons, c.limit)
				}
				fmt.Fprintf(&b, " no (%d) |", n+1)
			}
			b.WriteString("\n")
		}
	}
	b.WriteString("\n")
	for i, reason := range reasons {
		fmt.Fprintf(&b, "%d. %s\n", i+1, reason)
	}
	for _, l := range languages {
		for _, c := range l.further {
			if c.limit != "" {
				fmt.Fprintf(&b, "- %s, %s: %s\n", l.name, c.name, c.limit)
			}
		}
	}
	return b.String()
}

// writeReadme puts the table between the markers of a file.
func writeReadme(path, table string) error {
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(text, []byte(beginMark))
	_, after, ended := bytes.Cut(rest, []byte(endMark))
	if !ok || !ended {
		return fmt.Errorf("%s lacks the markers %q and %q", path, beginMark, endMark)
	}
	next := bytes.Join([][]byte{before, []byte(beginMark), []byte(table), []byte(endMark), after}, nil)
	if bytes.Equal(next, text) {
		return nil
	}
	return os.WriteFile(path, next, 0o666)
}
