package check

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// MaxLines is how long a Go file may be: nobody reads longer ones.
const MaxLines = 600

// short checks the length of files that people write.
func short(t *Tree) []Finding {
	var out []Finding
	for _, f := range t.Files {
		if n := bytes.Count(t.Texts[f.Path], []byte("\n")); n > MaxLines && !f.Generated {
			out = append(out, Finding{f.Path, n, fmt.Sprintf("%d lines are more than %d: split the file by what is in it", n, MaxLines)})
		}
	}
	return out
}

// top lists what may be at the repository's top.
var top = []string{
	".ci", ".github", ".gitignore", "LICENSE", "Makefile", "README.md",
	"cmd", "go.mod", "go.sum", "h2grpc", "plugin", "testdata", "wire",
}

// tidyTop checks the names at the top.
func tidyTop(t *Tree) []Finding {
	var out []Finding
	seen := make(map[string]bool)
	for _, name := range t.paths() {
		first, _, _ := strings.Cut(name, "/")
		if !seen[first] && !slices.Contains(top, first) {
			out = append(out, Finding{first, 0, "nothing of this name belongs at the top: put it into a directory"})
		}
		seen[first] = true
	}
	return out
}

// direct are the root module's direct requirements. Besides these, go.mod may only have
// the Go version and indirect requirements.
var direct = []string{"golang.org/x/net", "google.golang.org/protobuf"}

// requirements checks go.mod.
func requirements(t *Tree) []Finding {
	var out []Finding
	missing := slices.Clone(direct)
	for i, line := range strings.Split(string(t.Texts["go.mod"]), "\n") {
		wrong := func(format string, args ...any) {
			out = append(out, Finding{"go.mod", i + 1, fmt.Sprintf(format, args...)})
		}
		line, comment, _ := strings.Cut(line, "//")
		words := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		switch {
		case len(words) == 0 || words[0] == ")" || words[0] == "require" || words[0] == "(":
		case words[0] == "module" || words[0] == "go":
		case len(words) != 2 || !strings.Contains(words[0], "."):
			wrong("%s: go.mod holds requirements and nothing else", words[0])
		case strings.HasPrefix(strings.TrimSpace(comment), "indirect"):
			if slices.Contains(direct, words[0]) {
				wrong("%s is marked indirect: run go mod tidy", words[0])
			}
		case !slices.Contains(direct, words[0]):
			wrong("%s is required directly: the module stands on %s alone", words[0], strings.Join(direct, " and "))
		default:
			missing = slices.DeleteFunc(missing, func(m string) bool { return m == words[0] })
		}
	}
	for _, m := range missing {
		out = append(out, Finding{"go.mod", 0, m + " is not required directly"})
	}
	return out
}
