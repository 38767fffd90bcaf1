#!/bin/sh
# Writes the generated code of the benchmarks; "make generate" runs it. It needs
# protoc and Go; what it builds goes to a directory that it removes.
set -eu
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT

GOBIN="$bin" go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
GOBIN="$bin" go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2
(cd "$root" && go build -o "$bin" ./cmd/protoc-gen-go-h2grpc)
PATH="$bin:$PATH"

bench=github.com/tenonrpc/tenon/plugin/bench
mkdir "$bin/out"
protoc -I . --go_out="$bin/out" --go_opt=module=$bench echopb/echo.proto

# The example's store, for each library in a package of its own: no program
# links both.
for library in grpc h2grpc; do
	map=Mcmd/internal/kv/kv.proto="$bench/kv/kv$library;kv$library"
	protoc -I "$root" --go_out="$bin/out" --go_opt=module=$bench,"$map" \
		"--go-${library}_out=$bin/out" "--go-${library}_opt=module=$bench,$map" \
		cmd/internal/kv/kv.proto
done

# Most of them write protoc's version into the files; nothing else depends on
# it.
(cd "$bin/out" && find . -name '*.go') | while read -r f; do
	mkdir -p "$(dirname "$f")"
	sed -e '/^\/\/ 	protoc  *v/d' -e '/^\/\/ - protoc  *v/d' "$bin/out/$f" >"$f"
done

# Upstream's plugin is the example's, with upstream's names.
{
	echo "// Code generated from cmd/kvplugin/store.go by generate.sh. DO NOT EDIT."
	echo
	sed -e 's,"github.com/tenonrpc/tenon/cmd/internal/kv",kv "'$bench'/kv/kvgrpc",' \
		-e 's,"github.com/tenonrpc/tenon/h2grpc",grpc "google.golang.org/grpc",' \
		-e 's,"github.com/tenonrpc/tenon/h2grpc/,"google.golang.org/grpc/,' \
		-e 's,"github.com/tenonrpc/tenon/plugin","github.com/hashicorp/go-hclog",' \
		-e 's,h2grpc\.,grpc.,g' -e 's,plugin\.Logger,hclog.Logger,g' \
		"$root/cmd/kvplugin/store.go"
} | gofmt >cmd/kv-goplugin/store.go
