// Package kvpb is what go-plugin's examples "grpc" and "negotiated" put on the wire:
// kv.proto and what generate.sh writes from it.
package kvpb
