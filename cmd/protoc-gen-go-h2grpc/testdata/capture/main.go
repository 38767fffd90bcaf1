// Capture is a plugin of protoc that generates nothing: it writes the request that it
// gets to the file named by the environment variable REQUEST, for the tests of
// protoc-gen-go-h2grpc. It leaves out what depends on protoc's version, and what
// plugins of that kind do not read.
package main

import (
	"fmt"
	"io"
	"os"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/pluginpb"
)

func main() {
	if err := capture(os.Stdin, os.Stdout, os.Getenv("REQUEST")); err != nil {
		fmt.Fprintln(os.Stderr, "capture:", err)
		os.Exit(1)
	}
}

func capture(stdin io.Reader, stdout io.Writer, name string) error {
	in, err := io.ReadAll(stdin)
	if err != nil {
		return err
	}
	request := new(pluginpb.CodeGeneratorRequest)
	if err := proto.Unmarshal(in, request); err != nil {
		return err
	}
	request.CompilerVersion = nil
	request.SourceFileDescriptors = nil // protoc has written them since version 24
	generate := make(map[string]bool)
	for _, file := range request.FileToGenerate {
		generate[file] = true
	}
	for _, file := range request.ProtoFile {
		if !generate[file.GetName()] {
			file.SourceCodeInfo = nil
		}
	}
	out, err := proto.MarshalOptions{Deterministic: true}.Marshal(request)
	if err != nil {
		return err
	}
	if err := os.WriteFile(name, out, 0o666); err != nil {
		return err
	}
	answer, err := proto.Marshal(&pluginpb.CodeGeneratorResponse{
		SupportedFeatures: proto.Uint64(uint64(pluginpb.CodeGeneratorResponse_FEATURE_PROTO3_OPTIONAL)),
	})
	if err != nil {
		return err
	}
	_, err = stdout.Write(answer)
	return err
}
