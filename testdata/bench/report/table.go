package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// table is text in rows and columns. The first row is the head, and the first
// column says what the row is.
type table [][]string

// write writes the table as Markdown, with aligned columns.
func (t table) write(w io.Writer) {
	var widths []int
	for _, row := range t {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 3)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for n, row := range t {
		for i, cell := range row {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				fmt.Fprintf(w, "| %s%s |", cell, space)
			} else {
				fmt.Fprintf(w, " %s%s |", space, cell)
			}
		}
		fmt.Fprintln(w)
		if n == 0 {
			for i, width := range widths {
				if i == 0 {
					fmt.Fprintf(w, "| %s |", strings.Repeat("-", width))
				} else {
					fmt.Fprintf(w, " %s: |", strings.Repeat("-", width-1))
				}
			}
			fmt.Fprintln(w)
		}
	}
}

// none stands where there is no figure.
const none = "–"

// number writes a figure with three digits or so.
func number(v float64) string {
	switch {
	case v >= 1e6:
		return digits(v/1e6) + " M"
	case v >= 1e4:
		return digits(v/1e3) + " k"
	default:
		return digits(v)
	}
}

func digits(v float64) string {
	switch {
	case v >= 99.95:
		return fmt.Sprintf("%.0f", v)
	case v >= 9.995:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// megabytes writes a number of bytes.
func megabytes(v float64) string { return fmt.Sprintf("%.2f MB", v/1e6) }
