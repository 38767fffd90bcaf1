package check

import (
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// changelogFile lists the changes that concern users.
const changelogFile = ".github/CHANGELOG.md"

// Release is a published version.
type Release struct {
	Version string // its tag, such as v0.1.0
	API     string // its APIFile
}

// LastRelease asks git for the last release before what is checked out in dir. It
// returns nil if there is none, if there is no git, or if the release had no APIFile.
func LastRelease(dir string) *Release {
	git := func(args ...string) (string, bool) {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		out, err := cmd.Output()
		return string(out), err == nil
	}
	tag, ok := git("describe", "--tags", "--abbrev=0", "--match=v[0-9]*.[0-9]*.[0-9]*", "--exclude=*-*")
	if !ok {
		return nil
	}
	tag = strings.TrimSpace(tag)
	api, ok := git("show", tag+":"+APIFile)
	if !ok {
		return nil
	}
	return &Release{tag, api}
}

// Changes compares what users can name with what they could name in the release. A name
// that was removed or changed must be in the changelog; from version 1 on, none may be,
// and not even a parameter may get another name.
func (r *Release) Changes(t *Tree) []Finding {
	var out []Finding
	news, ok := r.news(string(t.Texts[changelogFile]))
	if !ok {
		out = append(out, Finding{changelogFile, 0, "there is no section for " + r.Version + ", which is released: Unreleased becomes that"})
	}
	is := strings.Split(string(t.Texts[APIFile]), "\n")
	for was := range strings.Lines(r.API) {
		was = strings.TrimSuffix(was, "\n")
		switch {
		case slices.Contains(is, was):
		case !strings.HasPrefix(r.Version, "v0."):
			out = append(out, Finding{APIFile, 0, fmt.Sprintf("%s has %q: it stays as it is until the next major version", r.Version, was)})
		case !told(was, is, news):
			out = append(out, Finding{changelogFile, 0, fmt.Sprintf("%s has %q, which is gone or has changed: say how to follow, with its name in backquotes", r.Version, was)})
		}
	}
	return out
}

// news returns the part of the changelog since the release: what is above the release's
// own section.
func (r *Release) news(changelog string) (string, bool) {
	heading := regexp.MustCompile(`(?m)^## \[?v?` + regexp.QuoteMeta(r.Version[1:]) + `(?:[]\s]|$)`)
	if at := heading.FindStringIndex(changelog); at != nil {
		return changelog[:at[0]], true
	}
	return "", false
}

var (
	// apiName matches in a line of APIFile the package and one of these: the type that
	// has a method and the method's name, the name of another declaration, or the type
	// and its member.
	apiName = regexp.MustCompile(`^(\S+) (?:func \((?:\w+ )?\*?(\w+)[^)]*\) (\w+)|(?:const|var|type|func) (\w+)|(\w+)(?:\.(\w+))?)`)
	word    = regexp.MustCompile(`\w+`)
)

// told reports whether news names what a line of APIFile lists: the type and the member
// if it is a type's member, and the type alone if the type was removed.
func told(line string, is []string, news string) bool {
	m := apiName.FindStringSubmatch(line)
	if m == nil {
		return false
	}
	owner, member := m[2]+m[5], m[3]+m[4]+m[6]
	if owner != "" && !slices.ContainsFunc(is, func(l string) bool { return typeLine(l, m[1], owner) }) {
		member = ""
	}
	var named []string
	for _, span := range codeSpan.FindAllString(news, -1) {
		named = append(named, word.FindAllString(span, -1)...)
	}
	for _, name := range []string{owner, member} {
		if name != "" && !slices.Contains(named, name) {
			return false
		}
	}
	return true
}

// typeLine reports whether a line of APIFile is the one of a type itself.
func typeLine(line, dir, name string) bool {
	rest, ok := strings.CutPrefix(line, dir+" type "+name)
	return ok && (strings.HasPrefix(rest, " ") || strings.HasPrefix(rest, "["))
}
