#!/bin/sh
# Writes the stubs anew, beside their .proto files. Needs Go and protoc; the two tools
# are of the modules, and of the versions, that go.mod requires. Read next: desk/desk.go.
set -eu
cd "$(dirname "$0")"

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
go build -o "$tools" google.golang.org/protobuf/cmd/protoc-gen-go github.com/tenonrpc/tenon/cmd/protoc-gen-go-h2grpc
PATH="$tools:$PATH" protoc --go_out=. --go_opt=paths=source_relative \
	--go-h2grpc_out=. --go-h2grpc_opt=paths=source_relative newsdeskv1/newsdesk.proto newsdeskv2/filter.proto

# protoc-gen-go writes protoc's version into the files; nothing else depends on it.
for file in newsdeskv1/newsdesk.pb.go newsdeskv2/filter.pb.go; do
	sed '/^\/\/ 	protoc  *v/d' "$file" >"$tools/out"
	cat "$tools/out" >"$file"
done
