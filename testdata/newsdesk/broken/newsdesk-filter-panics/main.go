// Newsdesk-filter-panics is a filter for the tests of the host: it panics when a story
// asks for it. You learn here that there are two cases. A panic in a method that the
// host calls is an error of that call, and the plugin goes on; one in a goroutine of
// the plugin's own ends the process, as in any program.
//
// Read next: broken/newsdesk-filter-future/main.go.
package main

import (
	"context"

	"github.com/tenonrpc/tenon/plugin"

	"example.com/newsdesk/desk"
	"example.com/newsdesk/newsdeskv1"
)

func main() {
	plugin.Serve(&plugin.ServeConfig{
		Handshake: desk.FilterHandshake,
		Versions:  map[int]plugin.Set{2: desk.FilterV2(panics{})},
	})
}

type panics struct{}

func (panics) Edit(ctx context.Context, story *newsdeskv1.Story, _ desk.Archive) (*newsdeskv1.Story, error) {
	switch story.Title {
	case "panic":
		panic("the story asked for it")
	case "crash":
		go panic("the story asked for it")
		<-ctx.Done()
	}
	story.Text += " Nothing happened."
	return story, nil
}
