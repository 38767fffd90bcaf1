// Package doublepb is what the service of go-plugin's tests puts on the wire: double.proto
// and what generate.sh writes from it.
package doublepb
