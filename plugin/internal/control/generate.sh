#!/bin/sh
# Writes descriptors.binpb, the FileDescriptorSet of proto/ and what it
# imports, without comments. Made with protoc 3.21, whose output is the same
# every time.
set -eu
cd "$(dirname "$0")"
protoc --proto_path=proto --include_imports --descriptor_set_out=descriptors.binpb \
	plugin/control.proto
