#!/bin/sh
# Writes the generated Go code of callback.proto; "make generate" runs it. Needs
# Go and protoc. What the other languages need is generated when they are run.
set -eu
cd "$(dirname "$0")"

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
go -C ../../.. build -o "$tools" google.golang.org/protobuf/cmd/protoc-gen-go ./cmd/protoc-gen-go-h2grpc
module=github.com/tenonrpc/tenon/cmd/languages
PATH="$tools:$PATH" protoc --go_out=. --go_opt=module=$module \
	--go-h2grpc_out=. --go-h2grpc_opt=module=$module callback.proto

# protoc-gen-go writes protoc's version into the file; nothing else depends on it.
sed '/^\/\/ 	protoc  *v/d' callbackpb/callback.pb.go >"$tools/callback.pb.go"
cat "$tools/callback.pb.go" >callbackpb/callback.pb.go
