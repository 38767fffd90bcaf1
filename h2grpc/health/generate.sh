#!/bin/sh
# Writes descriptors.binpb, the FileDescriptorSet of proto/, without comments.
# Made with protoc 3.21, whose output is the same every time.
set -eu
cd "$(dirname "$0")"
protoc --proto_path=proto --descriptor_set_out=descriptors.binpb \
	grpc/health/v1/health.proto
