// Package kv holds the messages and stubs of the living example, a store of
// keys and values: kv.proto and what generate.sh writes from it.
package kv
