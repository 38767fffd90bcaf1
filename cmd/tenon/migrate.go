package main

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"go/token"
	"io"
	"slices"
)

// migrate is the verb migrate.
func migrate(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("tenon migrate", flag.ContinueOnError)
	flags.SetOutput(stderr)
	dry := flags.Bool("n", false, "change nothing, and print what would be done")
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: tenon migrate [-n] [dir | dir/...]...")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return exitUsage
	}
	patterns := flags.Args()
	if len(patterns) == 0 {
		patterns = []string{"."}
	}
	if err := migrateAll(patterns, *dry, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "tenon migrate:", err)
		return exitFailed
	}
	return 0
}

// A change is the new state of a file.
type change struct {
	source *source
	text   []byte                        // nil if the file is not changed
	at     func(off int) (line, col int) // maps an offset of the old text to one of the new
}

func migrateAll(patterns []string, dry bool, stdout, stderr io.Writer) error {
	dirs, err := directories(patterns)
	if err != nil {
		return err
	}
	changes, err := plan(dirs)
	if err != nil {
		return fmt.Errorf("%w\nnothing was changed", err)
	}
	if err := carryOut(changes, dry, stdout, stderr); err != nil {
		return err
	}
	half, err := halves(dirs)
	if err != nil {
		return err
	}
	if len(half) > 0 {
		for _, line := range half {
			fmt.Fprintln(stderr, line)
		}
		return errors.New("what is left there compiles, but is wrong: a package must use only one of the two libraries")
	}
	return nil
}

// carryOut makes the changes, or prints them if dry, and then what is left to do.
func carryOut(changes []change, dry bool, stdout, stderr io.Writer) error {
	changed := 0
	for _, c := range changes {
		if c.text != nil {
			changed++
		}
		if dry {
			printPlan(stdout, c)
		}
	}
	if !dry {
		if written, err := writeAll(changes); err != nil {
			printNotes(stdout, written, dry) // no later run would find them again
			return err
		}
	}
	summary(stderr, dry, changed, printNotes(stdout, changes, dry))
	return nil
}

// printNotes prints what is left to do in files, and returns the number of notes.
func printNotes(w io.Writer, changes []change, dry bool) int {
	left := 0
	for _, c := range changes {
		left += len(c.source.notes)
		for _, n := range c.source.notes {
			line, col := c.at(n.off)
			if dry {
				line, col = position(c.source, n.off)
			}
			fmt.Fprintf(w, "%s:%d:%d: %s: %s\n", c.source.path, line, col, n.name, n.advice)
		}
	}
	return left
}

// plan reads all packages, and computes the changes of their files. It writes nothing.
func plan(dirs []string) ([]change, error) {
	u := newUniverse(token.NewFileSet())
	var units []*unit
	var failed []error
	for _, dir := range dirs {
		loaded, err := load(u, dir)
		if err != nil {
			failed = append(failed, err)
		}
		units = append(units, loaded...)
	}
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	var out []change
	for _, p := range units {
		for _, s := range p.files {
			s.rewrite()
			c, err := s.change()
			if err != nil {
				return nil, fmt.Errorf("%s: the result would not be valid Go, which is a bug in this command: %w", s.path, err)
			}
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out, func(a, b change) int { return cmp.Compare(a.source.path, b.source.path) })
	return out, nil
}

// change makes the edits of a file.
func (s *source) change() (change, error) {
	c := change{source: s, at: func(off int) (int, int) { return position(s, off) }}
	if len(s.edits) == 0 {
		return c, nil
	}
	if s.link {
		s.notes = append(s.notes, note{0, "package " + s.syntax.Name.Name, "this file is a symbolic link, which is not followed: migrate the directory of the file itself"})
		return c, nil
	}
	edits := s.edits
	if bytes.Count(s.text, []byte("\r\n"))*2 > bytes.Count(s.text, []byte("\n")) {
		edits = endLines(edits)
	}
	edited, moved, err := apply(s.text, edits)
	if err != nil {
		return c, err
	}
	if c.text, err = tidy(s.text, edited); err != nil {
		return c, err
	}
	c.at = func(off int) (int, int) { return place(edited, c.text, moved(off)) }
	return c, nil
}

func position(s *source, off int) (line, col int) {
	p := s.pkg.universe.fset.File(s.syntax.FileStart)
	at := p.PositionFor(p.Pos(off), false)
	return at.Line, at.Column
}

// printPlan prints what would be done to a file.
func printPlan(w io.Writer, c change) {
	if c.text == nil {
		return
	}
	edits := slices.Clone(c.source.edits)
	slices.SortStableFunc(edits, func(a, b edit) int { return cmp.Compare(a.start, b.start) })
	generated := ""
	if c.source.generated {
		generated = " (generated: imports and names alone)"
	}
	for _, e := range edits {
		if e.what != "" {
			line, col := position(c.source, e.start)
			fmt.Fprintf(w, "%s:%d:%d: %s%s\n", c.source.path, line, col, e.what, generated)
		}
	}
}

// writeAll writes the files that change, and returns them. If it fails, the error has
// how many were written.
func writeAll(changes []change) (written []change, err error) {
	for _, c := range changes {
		if c.text == nil {
			continue
		}
		if err := write(c.source.path, c.source.text, c.text, c.source.mode); err != nil {
			return written, fmt.Errorf("%w; the %d files before it are migrated, and the others are as they were: the command can be run again", err, len(written))
		}
		written = append(written, c)
	}
	return written, nil
}

func summary(w io.Writer, dry bool, changed, left int) {
	what := "files changed"
	if dry {
		what = "files to change"
	}
	fmt.Fprintf(w, "%s: %d; uses left for you: %d\n", what, changed, left)
	if changed > 0 && !dry {
		fmt.Fprintln(w, "go.mod is left to you: require "+ours+", then run go mod tidy")
	}
}
