#!/bin/sh
# Writes the generated code of the examples in the packages' documentation;
# "make generate" runs it. Needs Go and protoc.
set -eu
cd "$(dirname "$0")/../.."

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
go build -o "$tools" google.golang.org/protobuf/cmd/protoc-gen-go ./cmd/protoc-gen-go-h2grpc

pb=testdata/examples/kvpb
PATH="$tools:$PATH" protoc -I . --go_out=. --go_opt=paths=source_relative \
	--go-h2grpc_out=. --go-h2grpc_opt=paths=source_relative $pb/kv.proto

# protoc-gen-go writes protoc's version into the file; nothing else depends on it.
sed '/^\/\/ 	protoc  *v/d' $pb/kv.pb.go >"$tools/kv.pb.go"
cat "$tools/kv.pb.go" >$pb/kv.pb.go
