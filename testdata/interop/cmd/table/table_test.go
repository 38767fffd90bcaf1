package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// good is what a run gives in which everything works.
func good() map[key]string {
	all := make(map[key]string)
	for _, s := range sections {
		for _, r := range rows {
			for _, p := range pairs {
				for _, mode := range s.modes {
					if !s.has(r) || r.void != nil && r.void(p, mode) != "" {
						continue
					}
					for _, name := range r.cases {
						all[key{s.library, p.host, p.plugin, mode, name}] = ""
					}
				}
			}
		}
	}
	return all
}

// table writes results to a README and returns it.
func table(t *testing.T, all map[key]string, readme string) (string, error) {
	t.Helper()
	var lines bytes.Buffer
	for k, no := range all {
		line, err := json.Marshal(struct {
			key
			No string `json:",omitempty"`
		}{k, no})
		if err != nil {
			t.Fatal(err)
		}
		lines.Write(append(line, '\n'))
	}
	results, path := filepath.Join(t.TempDir(), "results"), filepath.Join(t.TempDir(), "README.md")
	for name, text := range map[string][]byte{results: lines.Bytes(), path: []byte(readme)} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	err := run(results, path)
	written, readErr := os.ReadFile(path)
	if readErr != nil {
		t.Fatal(readErr)
	}
	return string(written), err
}

const empty = "above\n" + beginMark + "the last one\n" + endMark + "below\n"

func TestTable(t *testing.T) {
	first, err := table(t, good(), empty)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(first, "above\n"+beginMark) || !strings.HasSuffix(first, endMark+"below\n") || strings.Contains(first, "the last one") {
		t.Errorf("the table is not between the markers:\n%s", first)
	}
	if strings.Contains(first, " no<") || !strings.Contains(first, "| unary calls | yes | yes | yes | yes | yes | yes | yes | yes | yes | yes | yes | yes |\n") {
		t.Errorf("all works, and the table says otherwise:\n%s", first)
	}
	again, err := table(t, good(), first)
	if err != nil || again != first {
		t.Errorf("the same results give another table, %v", err)
	}
}

// TestNo wants the reason once, however many cells have it.
func TestNo(t *testing.T) {
	all := good()
	for _, mode := range []string{plain, both} {
		all[key{"v1.8.0", "go-plugin", "tenon", mode, "status message escaped"}] = "It cannot."
	}
	text, err := table(t, all, empty)
	if err != nil {
		t.Fatal(err)
	}
	want := "| status: codes, texts, details; plain errors; missing methods | yes | yes | yes | yes | no<sup>1</sup> | yes | yes | no<sup>1</sup> | yes | yes | yes | yes |\n"
	if !strings.Contains(text, want) || strings.Count(text, "\n1. It cannot.\n") != 1 {
		t.Errorf("there is no\n%s in\n%s", want, text)
	}
}

func TestMistakes(t *testing.T) {
	for name, spoil := range map[string]func(map[key]string){
		"nothing was run": func(all map[key]string) { clear(all) },
		"a case was not run in one mode": func(all map[key]string) {
			delete(all, key{"v1.8.0", "tenon", "go-plugin", both, "cancel"})
		},
		"a case has no row": func(all map[key]string) {
			all[key{"v1.8.0", "tenon", "go-plugin", both, "juggling"}] = ""
		},
		"another version was run": func(all map[key]string) {
			for _, k := range slices.Collect(maps.Keys(all)) {
				if k.Library == "v1.4.10" {
					delete(all, k)
					k.Library = "v1.4.11"
					all[k] = ""
				}
			}
		},
		"what cannot be was run": func(all map[key]string) {
			all[key{"v1.8.0", "tenon", "go-plugin", both, "own certificates"}] = ""
		},
	} {
		all := good()
		spoil(all)
		if text, err := table(t, all, empty); err == nil || text != empty {
			t.Errorf("%s: %v, and the README is\n%s", name, err, text)
		}
	}
	if text, err := table(t, good(), "no markers\n"); err == nil || text != "no markers\n" {
		t.Errorf("a README without markers: %v, %q", err, text)
	}
	line := `{"Library":"v1.8.0","Host":"tenon","Plugin":"tenon","Mode":"plain","Case":"ping"`
	if _, err := parse([]byte(line + "}\n" + line + `,"No":"It cannot."}`)); err == nil {
		t.Error("two results of one case are taken")
	}
}
