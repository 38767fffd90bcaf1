#!/bin/sh
# Writes the generated code of the programs under test; "make generate" runs it.
# Needs Go and protoc.
#
# The protos are read where they are published, in the modules of their owners,
# and are not copied. They go through descriptor sets without comments: what is
# checked in is the messages and the stubs, and nothing else.
set -eu
cd "$(dirname "$0")"

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
(cd ../../.. && go build -o "$tools" google.golang.org/protobuf/cmd/protoc-gen-go ./cmd/protoc-gen-go-h2grpc)

# where <module>@<version>: the directory of its source.
where() {
	(cd "$tools" && go mod download -json "$1") | sed -n 's/^	"Dir": "\(.*\)",*$/\1/p'
}

# generate <package> <module's source> <module> <owner> <proto>...: the code of
# the protos in the descriptor set of the package's name.
generate() {
	name=$1 source=$2 module=$3 owner=$4
	shift 4
	package=github.com/tenonrpc/tenon/plugin/interop/conformance/$name
	options=module=$package
	for proto in "$@"; do
		options=$options,M$proto=$package
	done
	rm -rf "${tools:?}/out" "./$name"
	mkdir -p "$tools/out" "$name"
	PATH="$tools:$PATH" protoc --descriptor_set_in="$tools/$name.binpb" \
		--go_out="$tools/out" --go_opt="$options" --go-h2grpc_out="$tools/out" --go-h2grpc_opt="$options" "$@"
	for file in "$tools"/out/*.go; do
		{
			echo "// Derived from the protos of $module ($owner),"
			echo "// under the Apache License 2.0, which is beside this file."
			echo
			# protoc-gen-go writes protoc's version; nothing else depends on it.
			sed '/^\/\/ 	protoc  *v/d' "$file"
		} >"$name/$(basename "$file")"
	done
	cat >"$name/doc.go" <<-END
		// Package $name has messages and stubs of $module:
		// what generate.sh writes from its protos.
		package $name
	END
	cp "$source/LICENSE" "$name/LICENSE"
	chmod 644 "$name/LICENSE"
}

module=connectrpc.com/conformance@v1.0.6
source=$(where $module)
dir=connectrpc/conformance/v1
set -- $dir/config.proto $dir/service.proto $dir/server_compat.proto $dir/client_compat.proto
protoc -I "$source/proto" --include_imports -o "$tools/conformancepb.binpb" "$@"
generate conformancepb "$source" $module "The Connect Authors" "$@"

# grpc-go publishes the generated code of its protos and not the protos.
module=google.golang.org/grpc@v1.85.0
go run ./internal/grpcprotos >"$tools/interoppb.binpb"
dir=grpc/testing
generate interoppb "$(where $module)" $module "gRPC authors" $dir/empty.proto $dir/messages.proto $dir/test.proto
