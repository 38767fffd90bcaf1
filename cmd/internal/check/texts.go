package check

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// MaxLines is how long a Go file may be: longer ones are read by nobody.
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

// top is what may stand at the repository's top.
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
			out = append(out, Finding{first, 0, "nothing of this name belongs at the top: give it a room"})
		}
		seen[first] = true
	}
	return out
}

// device matches the names that Windows keeps to itself, whatever their extension.
var device = regexp.MustCompile(`(?i)^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)`)

// portable checks that a file of every name can be made on Windows, and so on macOS,
// whose file systems mostly do not tell upper case from lower. One that cannot keeps
// the repository from being cloned there, and the module from being downloaded
// anywhere (https://go.dev/ref/mod#zip-path-size-constraints).
func portable(t *Tree) []Finding {
	var out []Finding
	taken := make(map[string]string)
	for _, name := range t.paths() {
		for _, element := range strings.Split(name, "/") {
			if device.MatchString(element) || strings.ContainsAny(element, "<>:\"|?*\\") || strings.HasSuffix(element, ".") || strings.HasSuffix(element, " ") {
				out = append(out, Finding{name, 0, fmt.Sprintf("Windows takes no file %q: choose another name", element)})
				break
			}
		}
		folded := strings.ToLower(name)
		if other, ok := taken[folded]; ok {
			out = append(out, Finding{name, 0, "it is the same file as " + other + " where upper case is the same as lower: choose another name"})
		}
		taken[folded] = name
	}
	return out
}

// direct are the root module's direct requirements, and all that go.mod may
// hold besides: the Go version and indirect requirements.
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
