// You learn here how a plugin is tested by what the host sees of it, in memory and
// without a process: the messages are encoded, sent and decoded as they always are.
//
// Read next: cmd/newsdesk-filter-glossary/main.go, which logs and asks the host.

package main

import (
	"testing"

	"github.com/tenonrpc/tenon/plugin/plugintest"

	"example.com/newsdesk/desk"
	"example.com/newsdesk/newsdeskv1"
)

func TestTypography(t *testing.T) {
	filter := plugintest.Dispense[desk.Filter](t, desk.FilterV1(typography{}), desk.FilterName)
	got, err := filter.Edit(t.Context(), &newsdeskv1.Story{Slug: "rain", Title: "Rain...", Text: "It rains -- again."}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.Slug != "rain" || got.Title != "Rain…" || got.Text != "It rains – again." {
		t.Errorf("the story is now %v", got)
	}
}
