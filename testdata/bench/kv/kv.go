// Package kv is what the example's host and plugin have agreed on beforehand,
// as cmd/internal/kvshared has it, for programs on either library.
package kv

// The handshake of the example, and the name of its plugin.
const (
	ProtocolVersion  = 1
	MagicCookieKey   = "KV_PLUGIN"
	MagicCookieValue = "keys-and-values"
	Name             = "kv"
)
