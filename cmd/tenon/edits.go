package main

import (
	"bytes"
	"cmp"
	"fmt"
	"go/format"
	"slices"
	"strings"
)

// An edit replaces text of a file, between two offsets.
type edit struct {
	start, end int
	text       string
	what       string // description for -n; "" if another edit has it
}

// apply makes the edits, and returns the new text and a function from an offset in the
// old text to the offset in the new one. Deletions may overlap; overlaps of other edits
// are a bug of this command.
func apply(text []byte, edits []edit) ([]byte, func(int) int, error) {
	edits = slices.Clone(edits)
	slices.SortStableFunc(edits, func(a, b edit) int { return cmp.Or(a.start-b.start, a.end-b.end) })
	var out bytes.Buffer
	at := 0
	for i, e := range edits {
		if e.start < at {
			if e.text != "" || edits[i-1].text != "" {
				return nil, nil, fmt.Errorf("two changes are in the same place, %q and %q", edits[i-1].text, e.text)
			}
			at = max(at, e.end)
			continue
		}
		out.Write(text[at:e.start])
		out.WriteString(e.text)
		at = e.end
	}
	out.Write(text[at:])
	moved := func(off int) int {
		to, at := off, 0
		for _, e := range edits {
			switch {
			case e.end <= off:
				to += len(e.text) - (e.end - max(at, e.start))
			case e.start < off: // off is in what was replaced
				to -= off - max(at, e.start)
			}
			at = max(at, e.end)
		}
		return max(0, min(to, out.Len()))
	}
	return out.Bytes(), moved, nil
}

// endLines ends the lines of edits with CR LF.
func endLines(edits []edit) []edit {
	edits = slices.Clone(edits)
	for i, e := range edits {
		edits[i].text = strings.ReplaceAll(strings.ReplaceAll(e.text, "\r\n", "\n"), "\n", "\r\n")
	}
	return edits
}

// tidy formats the edited text if the text was formatted before. Otherwise it only
// checks that the result is Go.
func tidy(before, after []byte) ([]byte, error) {
	formatted, err := format.Source(after)
	if err != nil {
		return nil, err
	}
	if was, err := format.Source(before); err != nil || !bytes.Equal(was, before) {
		return after, nil
	}
	return formatted, nil
}

// place finds the place of an offset of the edited text after formatting, which moves
// things within lines.
func place(edited, formatted []byte, off int) (line, column int) {
	line = 1 + bytes.Count(edited[:off], []byte("\n"))
	start := 1 + bytes.LastIndexByte(edited[:off], '\n')
	column = 1 + off - start
	was, is := bytes.Split(edited, []byte("\n")), bytes.Split(formatted, []byte("\n"))
	if len(was) != len(is) {
		return line, column
	}
	// gofmt sorts imports and changes blanks: the line keeps its words, and as many
	// other characters precede the place.
	words := func(line []byte) string { return strings.Join(strings.Fields(string(line)), "") }
	if this := words(was[line-1]); words(is[line-1]) != this {
		if i := slices.IndexFunc(is, func(other []byte) bool { return words(other) == this }); i >= 0 {
			line = i + 1
		}
	}
	want := len(words(edited[start:off]))
	for i, c := range is[line-1] {
		if c == ' ' || c == '\t' {
			continue
		}
		if want == 0 {
			return line, i + 1
		}
		want--
	}
	return line, column
}

// deletion returns what to delete together with an element of a list, so that the rest
// is still a list: the whole of its lines, if nothing else is on them, or the separator
// as well.
func deletion(text []byte, start, end int) (int, int) {
	blank := func(b byte) bool { return b == ' ' || b == '\t' }
	before := start
	for before > 0 && blank(text[before-1]) {
		before--
	}
	after := end
	for after < len(text) && blank(text[after]) {
		after++
	}
	separated := after < len(text) && (text[after] == ',' || text[after] == ';')
	if separated {
		after++
		for after < len(text) && blank(text[after]) {
			after++
		}
	}
	rest := text[after:]
	if bytes.HasPrefix(rest, []byte("//")) {
		rest = rest[max(0, bytes.IndexByte(rest, '\n')):]
	}
	if bytes.HasPrefix(rest, []byte("\r\n")) {
		rest = rest[1:]
	}
	switch {
	case (before == 0 || text[before-1] == '\n') && bytes.HasPrefix(rest, []byte("\n")):
		return before, len(text) - len(rest) + 1
	case separated:
		return start, after
	case before > 0 && (text[before-1] == ',' || text[before-1] == ';'):
		return before - 1, end
	}
	return start, end
}
