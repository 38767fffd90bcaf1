// Package kv holds the messages and stubs of the example, a store of keys and values:
// kv.proto and what generate.sh generates from it.
package kv
