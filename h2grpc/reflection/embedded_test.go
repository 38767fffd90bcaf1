package reflection_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc/reflection"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

// TestEmbeddedMalformed cuts and corrupts a set at every byte: malformed sets are an
// error and never a panic.
func TestEmbeddedMalformed(t *testing.T) {
	failed := 0
	for i := range sampleSet {
		if _, _, _, err := reflection.ParseEmbedded(sampleSet[:i]); err != nil {
			failed++
		}
		spoilt := bytes.Clone(sampleSet)
		spoilt[i] = 0xff
		if _, _, _, err := reflection.ParseEmbedded(spoilt); err != nil {
			failed++
		}
	}
	if failed < len(sampleSet) {
		t.Errorf("%d of %d spoilt sets were refused, want at least half", failed, 2*len(sampleSet))
	}
}

func TestEmbeddedNesting(t *testing.T) {
	nested := func(depth int) []byte {
		m := &descriptorpb.DescriptorProto{Name: proto.String("M")}
		for range depth - 1 {
			m = &descriptorpb.DescriptorProto{Name: proto.String("M"), NestedType: []*descriptorpb.DescriptorProto{m}}
		}
		b, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{{
			Name: proto.String("deep.proto"), MessageType: []*descriptorpb.DescriptorProto{m},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if _, symbols, _, err := reflection.ParseEmbedded(nested(64)); err != nil || symbols != 64 {
		t.Errorf("64 levels: %d names, %v", symbols, err)
	}
	_, _, _, err := reflection.ParseEmbedded(sampleSet, nested(65))
	if err == nil || !strings.Contains(err.Error(), `set 1 `) || !strings.Contains(err.Error(), `"deep.proto"`) {
		t.Errorf("65 levels: the error %v does not say where", err)
	}
}

// TestEmbeddedTwice passes the same set twice: nothing appears twice.
func TestEmbeddedTwice(t *testing.T) {
	files, symbols, extensions, err := reflection.ParseEmbedded(sampleSet)
	if err != nil || files != 3 || symbols == 0 || extensions != 3 {
		t.Fatalf("%d files, %d names, %d extensions, %v", files, symbols, extensions, err)
	}
	files2, symbols2, extensions2, err := reflection.ParseEmbedded(sampleSet, sampleSet)
	if err != nil || files2 != files || symbols2 != symbols || extensions2 != extensions {
		t.Errorf("twice: %d files, %d names, %d extensions, %v", files2, symbols2, extensions2, err)
	}
}
