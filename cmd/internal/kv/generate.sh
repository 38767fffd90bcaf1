#!/bin/sh
# Writes kv.pb.go and kv_h2grpc.pb.go; "make generate" runs it. Needs Go and
# protoc, any version from 3.15 on. Both plugins are built from this module and
# what its go.mod requires.
set -eu
cd "$(dirname "$0")/../../.."

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
go build -o "$tools" google.golang.org/protobuf/cmd/protoc-gen-go ./cmd/protoc-gen-go-h2grpc

module=github.com/tenonrpc/tenon
PATH="$tools:$PATH" protoc -I . --go_out=. --go_opt=module=$module --go-h2grpc_out=. --go-h2grpc_opt=module=$module \
	cmd/internal/kv/kv.proto

# protoc-gen-go writes protoc's version into the file; nothing else depends on it.
sed '/^\/\/ 	protoc  *v/d' cmd/internal/kv/kv.pb.go >"$tools/kv.pb.go"
cat "$tools/kv.pb.go" >cmd/internal/kv/kv.pb.go
