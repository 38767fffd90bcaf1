// Package richgrpc has grpc-go's stubs of the rich plugin: what generate.sh writes from
// richpb/rich.proto.
package richgrpc
