// Package counterpb is what go-plugin's example "bidirectional" puts on the wire:
// counter.proto and what generate.sh writes from it.
package counterpb
