// Newsdesk-filter-glossary is a filter of newsdesk's: it explains words, in brackets,
// where a story has them first. What they mean it asks the host's archive, which
// version 2 of the protocol has. You learn here how a plugin logs so that the host
// shows level and attributes, and what its errors are to the host.
//
// Read next: main_test.go, in which the test is the host.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"regexp"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/sloghclog"

	"example.com/newsdesk/desk"
	"example.com/newsdesk/newsdeskv1"
)

func main() {
	// Before Serve, because the host reads log lines from the process's own stderr, and
	// Serve puts another in its place. All levels are written: the host chooses.
	log := slog.New(sloghclog.NewHandler(os.Stderr, &sloghclog.Options{Module: "glossary"}))
	plugin.Serve(&plugin.ServeConfig{
		Handshake: desk.FilterHandshake,
		Versions:  map[int]plugin.Set{2: desk.FilterV2(glossary{log})},
		Logger:    log,
	})
}

var words = regexp.MustCompile(`\pL+`)

type glossary struct{ log *slog.Logger }

func (g glossary) Edit(ctx context.Context, story *newsdeskv1.Story, archive desk.Archive) (*newsdeskv1.Story, error) {
	asked := make(map[string]bool)
	var err error
	story.Text = words.ReplaceAllStringFunc(story.Text, func(word string) string {
		if asked[word] || err != nil {
			return word
		}
		asked[word] = true
		meaning, failure := archive.Lookup(ctx, word)
		if failure != nil {
			err = fmt.Errorf("looking up %q: %w", word, failure)
		}
		if meaning == "" {
			return word
		}
		g.log.Info("explained", "story", story.Slug, "word", word)
		return word + " (" + meaning + ")"
	})
	if err != nil {
		// To the host this is a status with the code UNKNOWN and this text; package
		// h2grpc/status makes those with another code, as newsdesk-sink-pages does.
		return nil, err
	}
	g.log.Debug("edited", "story", story.Slug, "words", len(asked))
	return story, nil
}
