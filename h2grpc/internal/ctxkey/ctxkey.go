// Package ctxkey holds the context keys that h2grpc shares with its leaves, so
// that a server's call context can answer for all of them without one wrapped
// context a key.
package ctxkey

type (
	// Incoming is the key of a received call's metadata (metadata.MD).
	Incoming struct{}
	// Peer is the key of a received call's peer (*peer.Peer).
	Peer struct{}
)
