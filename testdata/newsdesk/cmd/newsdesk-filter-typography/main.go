// Newsdesk-filter-typography is a filter of newsdesk's: it makes of typewriter's dots
// and dashes what a printer sets. It speaks version 1 of the protocol alone, as
// a plugin does that was built before there was another, and the host of today uses it.
// You learn here how little a plugin is: an implementation, and a main function.
//
// Read next: main_test.go, which tests it without a process.
package main

import (
	"context"
	"strings"

	"github.com/tenonrpc/tenon/plugin"

	"example.com/newsdesk/desk"
	"example.com/newsdesk/newsdeskv1"
)

func main() {
	plugin.Serve(&plugin.ServeConfig{
		Handshake: desk.FilterHandshake,
		Versions:  map[int]plugin.Set{1: desk.FilterV1(typography{})},
	})
}

type typography struct{}

var marks = strings.NewReplacer("...", "…", " -- ", " – ")

func (typography) Edit(_ context.Context, story *newsdeskv1.Story, _ desk.Archive) (*newsdeskv1.Story, error) {
	story.Title, story.Text = marks.Replace(story.Title), marks.Replace(story.Text)
	return story, nil
}
