// Package conformancepb has messages and stubs of connectrpc.com/conformance@v1.0.6:
// what generate.sh writes from its protos.
package conformancepb
