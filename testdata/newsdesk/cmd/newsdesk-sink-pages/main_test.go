// You learn here how a stream is tested, and that errors keep their codes on the way.
//
// Read next: cmd/newsdesk/main.go, the host.

package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin/plugintest"

	"example.com/newsdesk/desk"
	"example.com/newsdesk/newsdeskv1"
)

// publish has a story published by a sink that writes into dir.
func publish(t *testing.T, dir string, story *newsdeskv1.Story) (places []string, err error) {
	t.Helper()
	sink := plugintest.Dispense[newsdeskv1.SinkClient](t, desk.SinkV1(pages{dir: dir}), desk.SinkName)
	stream, err := sink.Publish(t.Context(), &newsdeskv1.PublishRequest{Story: story})
	if err != nil {
		t.Fatal(err)
	}
	for {
		out, err := stream.Recv()
		if err == io.EOF {
			return places, nil
		}
		if err != nil {
			return places, err
		}
		places = append(places, out.Place)
	}
}

func TestPublish(t *testing.T) {
	dir := t.TempDir()
	places, err := publish(t, dir, &newsdeskv1.Story{Slug: "rain", Title: "Rain & snow", Text: "It rains."})
	if err != nil || !slices.Equal(places, []string{"rain.html", "rain.txt"}) {
		t.Fatalf("published as %v (%v)", places, err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "rain.html"))
	if want := "<h1>Rain &amp; snow</h1>\n<p>It rains.</p>\n"; err != nil || string(page) != want {
		t.Errorf("the page is %q (%v), want %q", page, err, want)
	}
}

func TestPublishNowhere(t *testing.T) {
	if _, err := publish(t, filepath.Join(t.TempDir(), "none"), &newsdeskv1.Story{Slug: "rain"}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("without a directory: %v, want FailedPrecondition", err)
	}
	if places, err := publish(t, t.TempDir(), &newsdeskv1.Story{Slug: "../rain"}); err == nil {
		t.Errorf("a story is published outside of the directory, as %v", places)
	}
}
