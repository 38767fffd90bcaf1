// You learn here how to test that old and new hosts and plugins get along: each pair
// of versions is a pair in memory, and what they agree on is looked at.
//
// Read next: cmd/newsdesk-filter-typography/main.go, the smallest plugin.

package desk_test

import (
	"context"
	"testing"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/plugintest"

	"example.com/newsdesk/desk"
	"example.com/newsdesk/newsdeskv1"
)

// asks is a filter that makes the answer of the archive its text.
type asks struct{}

func (asks) Edit(ctx context.Context, story *newsdeskv1.Story, archive desk.Archive) (*newsdeskv1.Story, error) {
	meaning, err := archive.Lookup(ctx, story.Text)
	return &newsdeskv1.Story{Text: meaning}, err
}

type archive struct{}

func (archive) Lookup(_ context.Context, word string) (string, error) { return "known: " + word, nil }

func TestFilterVersions(t *testing.T) {
	v1, v2 := desk.FilterV1(asks{}), desk.FilterV2(asks{})
	for _, tc := range []struct {
		name         string
		host, plugin map[int]plugin.Set
		version      int
		text         string
	}{
		{"an old plugin", map[int]plugin.Set{1: v1, 2: v2}, map[int]plugin.Set{1: v1}, 1, ""},
		{"an old host", map[int]plugin.Set{1: v1}, map[int]plugin.Set{1: v1, 2: v2}, 1, ""},
		{"both new", map[int]plugin.Set{1: v1, 2: v2}, map[int]plugin.Set{2: v2}, 2, "known: word"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			client := plugintest.Start(t, &plugintest.Config{
				Plugin: plugin.ServeConfig{Versions: tc.plugin},
				Host:   host.Config{Versions: tc.host},
			})
			filter, err := host.Dispense[desk.Filter](t.Context(), client, desk.FilterName)
			if err != nil {
				t.Fatal(err)
			}
			story, err := filter.Edit(t.Context(), &newsdeskv1.Story{Text: "word"}, archive{})
			if err != nil || story.Text != tc.text || client.Version() != tc.version {
				t.Errorf("in version %d the text is %q (%v); want version %d and %q", client.Version(), story.GetText(), err, tc.version, tc.text)
			}
		})
	}
}
