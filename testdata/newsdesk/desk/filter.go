// This file makes one Go interface of two versions of the filters' protocol. You learn
// here how a host speaks an old and a new version at once, so that no code besides this
// knows which it is, and how a plugin calls its host back by the broker.
//
// Read next: desk_test.go, which has a host and a plugin of each version in memory.

package desk

import (
	"context"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"

	"example.com/newsdesk/newsdeskv1"
	"example.com/newsdesk/newsdeskv2"
)

// A Filter edits stories. Plugins implement it, and the host gets one from
// host.Dispense. Several goroutines may use it at once.
type Filter interface {
	// Edit returns the story as it is to go on. It may change the one that it is given,
	// and may use the archive until it returns.
	Edit(ctx context.Context, story *newsdeskv1.Story, archive Archive) (*newsdeskv1.Story, error)
}

// An Archive is what the host lends to a filter.
type Archive interface {
	// Lookup returns the meaning of a word, "" if the archive does not know it.
	Lookup(ctx context.Context, word string) (string, error)
}

// FilterV1 is the set of a filter in version 1, in which there was no archive: Lookup
// finds nothing. A plugin passes its implementation, a host nil.
func FilterV1(impl Filter) plugin.Set { return plugin.Set{FilterName: filterV1{impl}} }

// FilterV2 is the set of a filter in version 2.
func FilterV2(impl Filter) plugin.Set { return plugin.Set{FilterName: filterV2{impl}} }

// filterV1 is version 1, in both roles.
type filterV1 struct{ impl Filter }

func (p filterV1) GRPCServer(_ *plugin.Broker, s *h2grpc.Server) error {
	newsdeskv1.RegisterFilterServer(s, serverV1{impl: p.impl})
	return nil
}

func (filterV1) GRPCClient(_ context.Context, _ *plugin.Broker, conn *h2grpc.ClientConn) (any, error) {
	return clientV1{newsdeskv1.NewFilterClient(conn)}, nil
}

// serverV1 runs in the plugin.
type serverV1 struct {
	newsdeskv1.UnimplementedFilterServer
	impl Filter
}

func (s serverV1) Edit(ctx context.Context, in *newsdeskv1.EditRequest) (*newsdeskv1.EditResponse, error) {
	story, err := s.impl.Edit(ctx, in.Story, noArchive{})
	return &newsdeskv1.EditResponse{Story: story}, err
}

type noArchive struct{}

func (noArchive) Lookup(context.Context, string) (string, error) { return "", nil }

// clientV1 runs in the host. It is a Filter.
type clientV1 struct{ client newsdeskv1.FilterClient }

func (c clientV1) Edit(ctx context.Context, story *newsdeskv1.Story, _ Archive) (*newsdeskv1.Story, error) {
	out, err := c.client.Edit(ctx, &newsdeskv1.EditRequest{Story: story})
	return out.GetStory(), err
}

// filterV2 is version 2, in both roles.
type filterV2 struct{ impl Filter }

func (p filterV2) GRPCServer(broker *plugin.Broker, s *h2grpc.Server) error {
	newsdeskv2.RegisterFilterServer(s, serverV2{impl: p.impl, broker: broker})
	return nil
}

func (filterV2) GRPCClient(_ context.Context, broker *plugin.Broker, conn *h2grpc.ClientConn) (any, error) {
	return clientV2{newsdeskv2.NewFilterClient(conn), broker}, nil
}

// clientV2 runs in the host. It is a Filter.
type clientV2 struct {
	client newsdeskv2.FilterClient
	broker *plugin.Broker
}

// Edit serves the archive for as long as the call takes, under an id of its own. That
// is a socket and a handshake for each story: a filter that is called a thousand times
// a second would be lent its archive once, by a method of its own.
func (c clientV2) Edit(ctx context.Context, story *newsdeskv1.Story, archive Archive) (*newsdeskv1.Story, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the server
	id, err := c.broker.Serve(ctx, func(s *h2grpc.Server) error {
		newsdeskv2.RegisterArchiveServer(s, archiveServer{impl: archive})
		return nil
	})
	if err != nil {
		return nil, err
	}
	out, err := c.client.Edit(ctx, &newsdeskv2.EditRequest{Story: story, Archive: id})
	return out.GetStory(), err
}

// archiveServer runs in the host, for the plugin.
type archiveServer struct {
	newsdeskv2.UnimplementedArchiveServer
	impl Archive
}

func (s archiveServer) Lookup(ctx context.Context, in *newsdeskv2.LookupRequest) (*newsdeskv2.LookupResponse, error) {
	meaning, err := s.impl.Lookup(ctx, in.Word)
	return &newsdeskv2.LookupResponse{Meaning: meaning}, err
}

// serverV2 runs in the plugin.
type serverV2 struct {
	newsdeskv2.UnimplementedFilterServer
	impl   Filter
	broker *plugin.Broker
}

func (s serverV2) Edit(ctx context.Context, in *newsdeskv2.EditRequest) (*newsdeskv2.EditResponse, error) {
	conn, err := s.broker.Dial(ctx, in.Archive) // the host's deadline has come along in ctx
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	story, err := s.impl.Edit(ctx, in.Story, archiveClient{newsdeskv2.NewArchiveClient(conn)})
	return &newsdeskv2.EditResponse{Story: story}, err
}

// archiveClient runs in the plugin. It is an Archive.
type archiveClient struct{ client newsdeskv2.ArchiveClient }

func (a archiveClient) Lookup(ctx context.Context, word string) (string, error) {
	out, err := a.client.Lookup(ctx, &newsdeskv2.LookupRequest{Word: word})
	return out.GetMeaning(), err
}
