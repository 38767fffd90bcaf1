// Package kvgrpc is the example's store for programs that link grpc-go: generate.sh
// writes it from cmd/internal/kv/kv.proto.
package kvgrpc
