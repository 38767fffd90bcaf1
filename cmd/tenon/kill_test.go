package main

import (
	"strings"
	"testing"
)

// TestUnknownKillsAreNotedAgain migrates a program that has been migrated before, with
// a Kill whose client is unknown.
func TestUnknownKillsAreNotedAgain(t *testing.T) {
	dir := unpack(t, "-- a/a.go --\npackage a\n\nimport \"github.com/hashicorp/go-plugin\"\n\nvar c *plugin.Client\n\nfunc stop(all any) { lo.First(all).Kill() }\n")
	for range 2 {
		stdout, _, status := tenon(t, dir, "migrate", "./...")
		if status != 0 || !strings.Contains(stdout, "a.go:7:36: plugin.Client.Kill: if this is") {
			t.Errorf("status %d, stdout %q; want the Kill in line 7", status, stdout)
		}
	}
}

// TestKillOfAnotherPackagesInterface has a client behind an interface of a package that
// does not import go-plugin.
func TestKillOfAnotherPackagesInterface(t *testing.T) {
	dir := unpack(t, `-- go.mod --
module example.org/app
-- proc/proc.go --
package proc

type Killer interface{ Kill() }

type Process struct{}

func (Process) Kill() {}
-- a/a.go --
package a

import (
	"example.org/app/proc"
	"github.com/hashicorp/go-plugin"
)

func stop(c *plugin.Client, p proc.Process) {
	var k proc.Killer = c
	k.Kill()
	p.Kill()
}
`)
	stdout, _, status := tenon(t, dir, "migrate", "./...")
	want := "a/a.go:10:4: plugin.Client.Kill: if this is a plugin.Client: Close; Kill is SIGKILL at once\n"
	if status != 0 || stdout != want {
		t.Errorf("status %d, stdout %q; want %q", status, stdout, want)
	}
}

// TestPatternsInAnyOrder has a package that two modules import: it is read for its own
// module, and not for the other.
func TestPatternsInAnyOrder(t *testing.T) {
	const modules = `-- wa/go.mod --
module example.com/wa
-- wa/a.go --
package wa

import _ "example.com/wb/x"
-- wb/go.mod --
module example.com/wb
-- wb/x/x.go --
package x

import "github.com/hashicorp/go-plugin"

type H struct{ C *plugin.Client }
-- wb/b.go --
package wb

import "example.com/wb/x"

func f(h x.H) { h.C.Kill() }
`
	for _, patterns := range [][]string{{"./wa/...", "./wb/..."}, {"./wb/...", "./wa/..."}} {
		dir := unpack(t, modules)
		_, stderr, status := tenon(t, dir, append([]string{"migrate"}, patterns...)...)
		if status != 0 {
			t.Errorf("%q: status %d, stderr %q", patterns, status, stderr)
		}
		if text := contents(t, dir)["wb/b.go"]; !strings.Contains(text, "h.C.Close()") {
			t.Errorf("%q: wb/b.go is\n%s\nwant Close", patterns, text)
		}
	}
}
