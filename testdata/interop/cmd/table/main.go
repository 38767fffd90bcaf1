// Table writes what the interoperability tests have found, as their -results
// say, into the README.
//
//	table -results <file> -readme <file>
//
// A cell without a result is an error, and so is a result without a cell: what
// stands in the README has been run, and nothing that was run is missing.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
)

// The markers between which the table stands in the README.
const (
	beginMark = "<!-- interop: begin -->\n"
	endMark   = "<!-- interop: end -->\n"
)

func main() {
	results := flag.String("results", "", "what the tests wrote")
	readme := flag.String("readme", "", "the file to write to, between its markers")
	flag.Parse()
	if err := run(*results, *readme); err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

func run(results, readme string) error {
	data, err := os.ReadFile(results)
	if err != nil {
		return err
	}
	all, err := parse(data)
	if err != nil {
		return fmt.Errorf("%s: %w", results, err)
	}
	var text bytes.Buffer
	for _, s := range sections {
		if err := s.write(&text, all); err != nil {
			return err
		}
	}
	if err := unused(all); err != nil {
		return err
	}
	return replace(readme, text.Bytes())
}

// key says what a result is of.
type key struct {
	Library, Host, Plugin, Mode, Case string
}

// outcome is what came out of it.
type outcome struct {
	no   string // why not; empty if it works
	used bool   // in a table
}

// parse reads lines of JSON. One result may be there twice, but not two.
func parse(data []byte) (map[key]*outcome, error) {
	all := make(map[key]*outcome)
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	for d.More() {
		var line struct {
			key
			No string
		}
		if err := d.Decode(&line); err != nil {
			return nil, err
		}
		if before := all[line.key]; before != nil && before.no != line.No {
			return nil, fmt.Errorf("%+v has the results %q and %q", line.key, before.no, line.No)
		}
		all[line.key] = &outcome{no: line.No}
	}
	if len(all) == 0 {
		return nil, errors.New("there are no results")
	}
	return all, nil
}

// unused finds the results that no table shows.
func unused(all map[key]*outcome) error {
	var errs []error
	for k, o := range all {
		if !o.used && isPair(k) {
			errs = append(errs, fmt.Errorf("no row shows %+v: add the case to one", k))
		}
	}
	return errors.Join(errs...)
}

// replace puts text between the markers of a file.
func replace(path string, text []byte) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(old, []byte(beginMark))
	_, after, ended := bytes.Cut(rest, []byte(endMark))
	if !ok || !ended {
		return fmt.Errorf("%s has no markers %q and %q", path, beginMark, endMark)
	}
	next := bytes.Join([][]byte{before, []byte(beginMark), text, []byte(endMark), after}, nil)
	if bytes.Equal(next, old) {
		return nil
	}
	return os.WriteFile(path, next, 0o666)
}
