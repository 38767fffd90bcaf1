package metrics

import (
	"fmt"
	"strconv"
	"strings"
)

// Writer writes metrics in Prometheus' text format.
type Writer struct {
	b       strings.Builder
	name    string // of the family
	heading string // of the family, until its first sample has been written
}

// Family begins a family of samples: its name, its type ("counter", "gauge" or
// "histogram") and what it is, in one sentence. One without samples is left out. A set
// must not have two families of one name.
func (w *Writer) Family(name, typ, help string) {
	w.name = name
	w.heading = fmt.Sprintf("# HELP %s %s\n# TYPE %s %s\n", name, escape(help, false), name, typ)
}

// Sample writes a sample of the family. suffix is added to its name: "" except for the
// parts of a histogram. labels are pairs of names and values. Sample panics if they are
// not, or if a name is not a label's.
func (w *Writer) Sample(suffix string, value float64, labels ...string) {
	labels = pairs(labels)
	w.b.WriteString(w.heading)
	w.heading = ""
	w.b.WriteString(w.name)
	w.b.WriteString(suffix)
	for i := 0; i < len(labels); i += 2 {
		w.b.WriteByte("{,"[min(i, 1)])
		w.b.WriteString(labels[i])
		w.b.WriteString(`="`)
		w.b.WriteString(escape(labels[i+1], true))
		w.b.WriteByte('"')
	}
	if len(labels) > 0 {
		w.b.WriteByte('}')
	}
	w.b.WriteByte(' ')
	w.b.WriteString(number(value))
	w.b.WriteByte('\n')
}

// String returns what was written.
func (w *Writer) String() string { return w.b.String() }

// number formats a value.
func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// escape escapes a text of the format: backslashes and line ends, and quotation marks
// in labels.
func escape(s string, label bool) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	s = strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), "\n", `\n`)
	if label {
		s = strings.ReplaceAll(s, `"`, `\"`)
	}
	return s
}

// pairs checks labels, and returns them.
func pairs(labels []string) []string {
	if len(labels)%2 != 0 {
		panic(fmt.Sprintf("metrics: %q are not pairs of names and values of labels", labels))
	}
	for i := 0; i < len(labels); i += 2 {
		if !isLabel(labels[i]) {
			panic(fmt.Sprintf("metrics: %q is not the name of a label", labels[i]))
		}
	}
	return labels
}

// isLabel reports whether s is the name of a label: [a-zA-Z_][a-zA-Z0-9_]*.
func isLabel(s string) bool {
	for i, c := range s {
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
