package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// features are the table's columns.
var features = []string{"plain", "P-521", "P-256", "TCP", "broker", "multiplexed", "stdio"}

// A language is a library of another language, with what is tried of it.
type language struct {
	name    string                       // its directory
	version string                       // of the library
	cases   map[string]map[string]*trial // by side, "plugin" or "host", and feature
	further []*trial                     // beyond the table
}

// A trial is one thing to try.
type trial struct {
	name string
	try  func(context.Context) error // nil if there is nothing to be tried, and limit says why
	// limit is why it does not work and whose limit that is, a sentence; empty
	// if it works. fails is what the failure says then.
	limit string
	fails string
}

// works is a case that must work.
func works(try func(context.Context) error) *trial { return &trial{try: try} }

// lacks is a case that must fail, with an error that contains fails.
func lacks(limit, fails string, try func(context.Context) error) *trial {
	return &trial{try: try, limit: limit, fails: fails}
}

// cannot is a case that a library has no way to be asked for.
func cannot(limit string) *trial { return &trial{limit: limit} }

// try tries everything and returns how many cases are not as they should be.
func (l *language) try(ctx context.Context) (wrong int) {
	report := func(side string, c *trial) {
		if err := c.run(ctx); err != nil {
			wrong++
			fmt.Printf("%-18s %-7s %-12s FAILED: %v\n", l.name, side, c.name, err)
			return
		}
		verdict := "yes"
		if c.limit != "" {
			verdict = "no, as expected"
		}
		fmt.Printf("%-18s %-7s %-12s %s\n", l.name, side, c.name, verdict)
	}
	for _, side := range []string{"plugin", "host"} {
		if l.cases[side] == nil {
			continue
		}
		for _, feature := range features {
			c := l.cases[side][feature]
			if c == nil {
				wrong++
				fmt.Printf("%s: there is no case for %s %s\n", l.name, side, feature)
				continue
			}
			c.name = feature
			report(side, c)
		}
	}
	for _, c := range l.further {
		report("further", c)
	}
	return wrong
}

// run tries one case, and says what is not as expected.
func (c *trial) run(ctx context.Context) error {
	if c.try == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, casePatience)
	defer cancel()
	err := c.try(ctx)
	switch {
	case c.limit == "":
		return err
	case err == nil:
		return errors.New("it works, and is said not to: " + c.limit)
	case !strings.Contains(err.Error(), c.fails):
		return fmt.Errorf("it fails otherwise than expected, which is %q: %w", c.fails, err)
	}
	return nil
}

// wantLines checks that a program's output has these lines.
func wantLines(out string, want ...string) error {
	have := make(map[string]bool)
	for line := range strings.Lines(out) {
		have[strings.TrimRight(line, "\r\n")] = true
	}
	for _, line := range want {
		if !have[line] {
			return fmt.Errorf("it did not print %q but:\n%s", line, out)
		}
	}
	return nil
}
