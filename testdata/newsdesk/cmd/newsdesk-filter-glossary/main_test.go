// You learn here how a callback is tested: the test implements what the host lends, in
// a few lines, and the broker between the two is the real one.
//
// Read next: cmd/newsdesk-sink-pages/main.go, a plugin of the other kind.

package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/plugin/plugintest"

	"example.com/newsdesk/desk"
	"example.com/newsdesk/newsdeskv1"
)

// archive is the host's, in this test.
type archive func(word string) (string, error)

func (a archive) Lookup(_ context.Context, word string) (string, error) { return a(word) }

func TestGlossary(t *testing.T) {
	filter := plugintest.Dispense[desk.Filter](t, desk.FilterV2(glossary{slog.New(slog.DiscardHandler)}), desk.FilterName)
	knows := archive(func(word string) (string, error) {
		return map[string]string{"HTTP": "a protocol"}[word], nil
	})
	got, err := filter.Edit(t.Context(), &newsdeskv1.Story{Text: "HTTP, then HTTP again."}, knows)
	if want := "HTTP (a protocol), then HTTP again."; err != nil || got.Text != want {
		t.Errorf("the text is now %q (%v), want %q", got.GetText(), err, want)
	}
}

func TestArchiveFails(t *testing.T) {
	filter := plugintest.Dispense[desk.Filter](t, desk.FilterV2(glossary{slog.New(slog.DiscardHandler)}), desk.FilterName)
	closed := archive(func(string) (string, error) { return "", errors.New("the archive is closed") })
	_, err := filter.Edit(t.Context(), &newsdeskv1.Story{Text: "word"}, closed)
	if err == nil || !strings.Contains(err.Error(), `looking up "word"`) || !strings.Contains(err.Error(), "the archive is closed") {
		t.Errorf("the error is %v; want it to say what failed, and why", err)
	}
}
