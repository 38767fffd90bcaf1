// Package streamerpb is what go-plugin's example "streaming" puts on the wire:
// streamer.proto and what generate.sh writes from it.
package streamerpb
