// Package callbackpb has the messages and stubs of callback.proto: what generate.sh writes
// from it.
package callbackpb
