// Package richh2grpc has h2grpc's stubs of the rich plugin: what generate.sh writes from
// richpb/rich.proto.
package richh2grpc
