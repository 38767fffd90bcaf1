// Package ctxkey has the context keys that h2grpc shares with the packages below it,
// so that the context of a server's call can answer all of them without one wrapped
// context for each key.
package ctxkey

type (
	// Incoming is the key of a received call's metadata (metadata.MD).
	Incoming struct{}
	// Outgoing is the key of the metadata that calls send; its type is in package
	// metadata.
	Outgoing struct{}
	// Peer is the key of a received call's peer (*peer.Peer).
	Peer struct{}
)
