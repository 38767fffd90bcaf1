// Protoc-gen-go-h2grpc is a plugin of protoc, the protocol buffer compiler. It
// generates the client and server stubs of gRPC services for package h2grpc, beside the
// messages that protoc-gen-go generates:
//
//	protoc --go_out=. --go-h2grpc_out=. kv.proto
//
// The stubs of kv.proto go to kv_h2grpc.pb.go. They have the shape of those of
// protoc-gen-go-grpc with generic streams, so that an application which moves from one
// to the other changes its imports and little else.
//
// It has two parameters in addition to those that all Go plugins of protoc share
// (paths, module, M):
//
//	require_unimplemented_servers=false
//
// lets an implementation of a service omit its Unimplemented…Server; a method added to
// the service then breaks the implementation's build.
//
//	package_suffix=h2grpc
//
// puts the stubs into a package of their own, in a directory below that of the
// messages: those of package kv into kv/kvh2grpc. So messages can stay in a module of
// somebody else and be imported from there, as M says:
//
//	protoc --go-h2grpc_out=internal --go-h2grpc_opt=package_suffix=h2grpc,Mkv.proto=example.com/theirs/kv,module=example.com/theirs kv.proto
//
// generates internal/kv/kvh2grpc/kv_h2grpc.pb.go, which does not depend on where it is.
package main

import (
	"errors"
	"flag"
	"fmt"
	"go/token"
	"io"
	"os"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// version is written into every generated file. It changes whenever the generated code
// changes.
const version = "v0.1.0"

const usage = `protoc-gen-go-h2grpc is a plugin of protoc and is started by it:

	protoc --go_out=. --go-h2grpc_out=. [--go-h2grpc_opt=name=value]... file.proto

It has two parameters of its own: require_unimplemented_servers (true or false;
true by default), and package_suffix, by which stubs go to a package of their own.
By hand it only answers --version and --help.
`

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program. It returns the exit status.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("protoc-gen-go-h2grpc", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usage) }
	showVersion := flags.Bool("version", false, "print the version and exit")
	switch err := flags.Parse(args); {
	case err == flag.ErrHelp:
		return 0
	case err != nil:
		return 2 // Parse has printed why
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "protoc-gen-go-h2grpc: unexpected argument %q\n%s", flags.Arg(0), usage)
		return 2
	case *showVersion:
		fmt.Fprintf(stdout, "protoc-gen-go-h2grpc %s\n", version)
		return 0
	}

	if err := serve(stdin, stdout); err != nil {
		fmt.Fprintf(stderr, "protoc-gen-go-h2grpc: %v\n", err)
		return 1
	}
	return 0
}

// serve answers the one request that protoc writes to a plugin's standard input. It
// returns errors of the communication with protoc; errors in the files or the
// parameters are part of the answer.
func serve(stdin io.Reader, stdout io.Writer) error {
	in, err := io.ReadAll(stdin)
	if err != nil {
		return fmt.Errorf("reading protoc's request: %w", err)
	}
	request := new(pluginpb.CodeGeneratorRequest)
	if err := proto.Unmarshal(in, request); err != nil {
		return fmt.Errorf("standard input is not a request of protoc: %w", err)
	}
	if len(request.FileToGenerate) == 0 {
		return fmt.Errorf("standard input holds no request of protoc: it names no file to generate")
	}
	out, err := proto.MarshalOptions{Deterministic: true}.Marshal(generate(request))
	if err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	if _, err := stdout.Write(out); err != nil {
		return fmt.Errorf("writing the answer to protoc: %w", err)
	}
	return nil
}

// generate turns protoc's request into the answer.
func generate(request *pluginpb.CodeGeneratorRequest) *pluginpb.CodeGeneratorResponse {
	response := stubs(request)
	// Neither proto3's optional nor the features of editions change a service, so every
	// edition that protogen knows is supported. An answer with an error must declare
	// that too, or newer versions of protoc report the missing support instead of the
	// error; protogen omits it from most of them.
	response.SupportedFeatures = proto.Uint64(uint64(pluginpb.CodeGeneratorResponse_FEATURE_PROTO3_OPTIONAL | pluginpb.CodeGeneratorResponse_FEATURE_SUPPORTS_EDITIONS))
	response.MinimumEdition = proto.Int32(int32(descriptorpb.Edition_EDITION_PROTO2))
	response.MaximumEdition = proto.Int32(int32(descriptorpb.Edition_EDITION_2024))
	return response
}

// stubs is the part of the answer that depends on the request.
func stubs(request *pluginpb.CodeGeneratorRequest) *pluginpb.CodeGeneratorResponse {
	parameters := flag.NewFlagSet("", flag.ContinueOnError)
	requireUnimplemented := parameters.Bool("require_unimplemented_servers", true, "true or false")
	suffix := new(string)
	parameters.Func("package_suffix", "letters, digits and underscores, to be added to a package's name", func(s string) error {
		*suffix = s
		if !token.IsIdentifier("_" + s) {
			return errors.New("not part of a name")
		}
		return nil
	})

	plugin, err := protogen.Options{ParamFunc: func(name, value string) error {
		own := parameters.Lookup(name)
		if own == nil {
			return fmt.Errorf("unknown parameter %q: this plugin's own are require_unimplemented_servers and package_suffix; paths, module and M belong to every Go plugin", name)
		}
		if err := parameters.Set(name, value); err != nil {
			return fmt.Errorf("parameter %s has the value %q: it must be %s", name, value, own.Usage)
		}
		return nil
	}}.New(request)
	if err != nil {
		return &pluginpb.CodeGeneratorResponse{Error: proto.String(err.Error())}
	}

	if *suffix != "" {
		for _, file := range plugin.Files {
			setApart(file, *suffix)
		}
	}
	if err := checkNames(plugin.Files); err != nil {
		plugin.Error(err)
		return plugin.Response()
	}
	for _, file := range plugin.Files {
		if file.Generate && len(file.Services) > 0 {
			generateFile(plugin, file, *requireUnimplemented)
		}
	}
	return plugin.Response()
}
