#!/bin/sh
# Writes testdata/*.request: what protoc sends to protoc-gen-go-h2grpc for
# testdata/protos/*.proto, and for the living example; "make generate" runs it.
# Needs Go and protoc, any version from 3.15 on. After a change look at the new
# stubs with "go test ./cmd/protoc-gen-go-h2grpc -update" and git diff.
set -eu
cd "$(dirname "$0")"

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
go build -o "$tools/protoc-gen-capture" ./capture

# capture name parameter file...: writes name.request.
capture() {
	name=$1 parameter=$2
	shift 2
	REQUEST=$name.request PATH="$tools:$PATH" protoc -I "${root:-protos}" \
		--capture_out="$parameter:$tools" "$@"
}

rm -f ./*.request
for name in kinds comments empty several nopackage messages \
	collision_message collision_stream collision_services collision_methods; do
	capture "$name" '' "$name.proto"
done
capture imports '' imports/imports.proto imports/in.proto imports/status/status.proto imports/stream/stream.proto
golden=github.com/tenonrpc/tenon/cmd/protoc-gen-go-h2grpc/testdata/golden
capture unrequired require_unimplemented_servers=false,Mkinds.proto=$golden/unrequired kinds.proto
capture apart "package_suffix=h2grpc,Mkinds.proto=$golden/apart" kinds.proto
capture apart_collision "package_suffix=_stubs,Mcollision_message.proto=$golden/apart_collision" collision_message.proto
capture parameter_suffix package_suffix=a-b kinds.proto
capture relative paths=source_relative empty.proto
capture parameter_unknown require_unimplemented=false kinds.proto
capture parameter_value require_unimplemented_servers=maybe kinds.proto
root=../../.. capture kv '' cmd/internal/kv/kv.proto
