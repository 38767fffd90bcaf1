// Package interoppb has messages and stubs of google.golang.org/grpc@v1.85.0:
// what generate.sh writes from its protos.
package interoppb
