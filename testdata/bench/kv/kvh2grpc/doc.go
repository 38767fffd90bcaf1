// Package kvh2grpc is the example's store for programs that link h2grpc: generate.sh
// writes it from cmd/internal/kv/kv.proto.
package kvh2grpc
