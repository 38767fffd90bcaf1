// Newsdesk-sink-pages is a sink of newsdesk's: it writes each story as a page of HTML
// and as plain text. You learn here how a plugin serves a stream, chooses the code of
// an error, and is told by its host where to work.
//
// Read next: main_test.go, which reads the stream.
package main

import (
	"html"
	"os"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin"

	"example.com/newsdesk/desk"
	"example.com/newsdesk/newsdeskv1"
)

func main() {
	plugin.Serve(&plugin.ServeConfig{
		Handshake: desk.SinkHandshake,
		Versions:  map[int]plugin.Set{1: desk.SinkV1(pages{dir: os.Getenv(desk.OutVariable)})},
	})
}

type pages struct {
	newsdeskv1.UnimplementedSinkServer
	dir string
}

func (p pages) Publish(in *newsdeskv1.PublishRequest, stream h2grpc.ServerStreamingServer[newsdeskv1.PublishResponse]) error {
	root, err := os.OpenRoot(p.dir) // whatever the slug is, nothing is written elsewhere
	if err != nil {
		return status.Errorf(codes.FailedPrecondition, "the directory that %s names: %v", desk.OutVariable, err)
	}
	defer root.Close()
	title, text := in.Story.GetTitle(), in.Story.GetText()
	for _, page := range []struct{ ending, text string }{
		{".html", "<h1>" + html.EscapeString(title) + "</h1>\n<p>" + html.EscapeString(text) + "</p>\n"},
		{".txt", title + "\n\n" + text + "\n"},
	} {
		place := in.Story.GetSlug() + page.ending
		if err := root.WriteFile(place, []byte(page.text), 0o644); err != nil {
			return err
		}
		if err := stream.Send(&newsdeskv1.PublishResponse{Place: place}); err != nil {
			return err
		}
	}
	return nil
}
