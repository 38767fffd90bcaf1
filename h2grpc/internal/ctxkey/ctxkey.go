// Package ctxkey holds the context keys that h2grpc shares with its leaves, so
// that a server's call context can answer for all of them without one wrapped
// context a key.
package ctxkey

type (
	// Incoming is the key of a received call's metadata (metadata.MD).
	Incoming struct{}
	// Outgoing is the key of the metadata that calls send; package metadata
	// knows its type.
	Outgoing struct{}
	// Peer is the key of a received call's peer (*peer.Peer).
	Peer struct{}
)
