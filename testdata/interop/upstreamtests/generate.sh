#!/bin/sh
# Writes the generated code of this module; "make generate" runs it. Needs Go
# and protoc.
set -eu
cd "$(dirname "$0")"

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
go -C ../../.. build -o "$tools" google.golang.org/protobuf/cmd/protoc-gen-go ./cmd/protoc-gen-go-h2grpc
PATH="$tools:$PATH" protoc --go_out=. --go_opt=paths=source_relative \
	--go-h2grpc_out=. --go-h2grpc_opt=paths=source_relative doublepb/double.proto

# protoc-gen-go writes protoc's version into the file; nothing else depends on it.
sed '/^\/\/ 	protoc  *v/d' doublepb/double.pb.go >"$tools/double.pb.go"
cat "$tools/double.pb.go" >doublepb/double.pb.go
