#!/bin/sh
# Writes descriptors.binpb, the FileDescriptorSet of proto/, without comments.
# Made with protoc 3.21, whose output is the same every time.
set -eu
cd "$(dirname "$0")"
protoc --proto_path=proto --descriptor_set_out=descriptors.binpb \
	grpc/reflection/v1/reflection.proto grpc/reflection/v1alpha/reflection.proto

# The files that the tests encode and serve.
protoc --proto_path=testdata --descriptor_set_out=testdata/sample.binpb \
	sample/base.proto sample/three.proto sample/two.proto
