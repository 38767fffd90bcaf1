#!/bin/sh
# Writes the generated code of this module and of module cases. It needs
# protoc and Go; what it builds goes to a directory that it removes.
set -eu
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT

# The stubs for grpc-go are those of version 1.3.0, which compile with the older
# grpc-go as well: see old.mod.
install() { # install <module path>@<version> <name>
	GOBIN="$bin/$2" go install "$1"
	mv "$bin/$2/$(basename "${1%@*}")" "$bin/protoc-gen-$2"
	rm -r "${bin:?}/$2"
}
install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12 go
install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.3.0 go-grpc
(cd "$root" && go build -o "$bin/protoc-gen-go-h2grpc" ./cmd/protoc-gen-go-h2grpc)

# stubs <plugin> <output directory> <package>: the services, in that package.
stubs() {
	PATH="$bin:$PATH" protoc -I cases "--$1_out=$2" \
		"--$1_opt=paths=source_relative,Mrichpb/rich.proto=$3;$(basename "$3")" richpb/rich.proto
}
mkdir "$bin/messages"
PATH="$bin:$PATH" protoc -I cases --go_out="$bin/messages" --go_opt=paths=source_relative \
	richpb/messages.proto richpb/rich.proto
interop=github.com/tenonrpc/tenon/plugin/interop
mkdir -p "$bin/theirs" "$bin/ours"
stubs go-grpc "$bin/theirs" $interop/upstream/richgrpc
stubs go-h2grpc "$bin/ours" $interop/cases/tenonside/richh2grpc

# Most of them write protoc's version into the files; nothing else depends on
# it.
put() { # put <directory> <file>...
	dir=$1
	shift
	mkdir -p "$dir"
	for f in "$@"; do
		sed -e '/^\/\/ 	protoc  *v/d' -e '/^\/\/ - protoc  *v/d' "$f" >"$dir/$(basename "$f")"
	done
}
put upstream/richgrpc "$bin"/theirs/richpb/*.go
put cases/tenonside/richh2grpc "$bin"/ours/richpb/*.go
put cases/richpb "$bin"/messages/richpb/*.go

# The examples' messages and stubs share a package each.
for pb in kvpb counterpb streamerpb; do
	PATH="$bin:$PATH" protoc -I "cases/examples/$pb" --go_out="$bin/messages" --go_opt=paths=source_relative \
		--go-h2grpc_out="$bin/messages" --go-h2grpc_opt=paths=source_relative "${pb%pb}.proto"
	put "cases/examples/$pb" "$bin/messages/${pb%pb}".pb.go "$bin/messages/${pb%pb}"_*.pb.go
done
