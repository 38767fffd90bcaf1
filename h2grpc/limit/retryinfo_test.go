package limit_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/limit"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// The longest time.Duration, in seconds and nanoseconds.
const wholeMost, restMost = math.MaxInt64 / int64(time.Second), math.MaxInt64 % int64(time.Second)

const retryInfoURL = "type.googleapis.com/google.rpc.RetryInfo"

// withDetails returns an error with the details.
func withDetails(code codes.Code, details ...status.Any) error {
	return status.FromProto(status.Proto{Code: int32(code), Message: "no", Details: details}).Err()
}

// retryInfo returns the encoding of a RetryInfo with the fields of its duration.
func retryInfo(seconds, nanos int64) []byte {
	var d []byte
	d = protowire.AppendVarint(protowire.AppendTag(d, 1, protowire.VarintType), uint64(seconds))
	d = protowire.AppendVarint(protowire.AppendTag(d, 2, protowire.VarintType), uint64(nanos))
	return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), d)
}

func TestRetryDelay(t *testing.T) {
	const second = int64(time.Second)
	for _, c := range []struct {
		name  string
		value []byte
		want  time.Duration
		ok    bool
	}{
		{"seconds and nanoseconds", retryInfo(3, 500_000_000), 3500 * time.Millisecond, true},
		{"zero", retryInfo(0, 0), 0, true},
		{"an empty duration", []byte{0x0a, 0}, 0, true},
		{"the longest", retryInfo(wholeMost, restMost), math.MaxInt64, true},
		{"a nanosecond longer", retryInfo(wholeMost, restMost+1), 0, false},
		{"a second longer", retryInfo(wholeMost+1, 0), 0, false},
		{"ten thousand years", retryInfo(315_576_000_000, 0), 0, false},
		{"more than a duration may be", retryInfo(math.MaxInt64, 0), 0, false},
		{"negative seconds", retryInfo(-1, 0), 0, false},
		{"the most negative seconds", retryInfo(math.MinInt64, 0), 0, false},
		{"negative nanoseconds", retryInfo(0, -1), 0, false},
		{"seconds, and negative nanoseconds", retryInfo(5, -1), 0, false},
		{"nanoseconds of a second", retryInfo(0, second), 0, false},
		{"nanoseconds beyond 32 bits", retryInfo(0, 1<<32+1), 1, true}, // as protobuf decodes an int32
		{"no duration", nil, 0, false},
		{"another field", []byte{0x10, 1}, 0, false},
		{"a duration of another type", []byte{0x08, 1}, 0, false},
		{"an unknown field beside it", append(retryInfo(1, 0), 0x10, 1), time.Second, true},
		{"two durations are merged", append([]byte("\x0a\x02\x08\x07"), "\x0a\x02\x10\x09"...), 7*time.Second + 9, true},
		{"cut in the duration", retryInfo(3, 1)[:4], 0, false},
		{"cut in a tag", []byte{0x8a}, 0, false},
		{"a malformed duration", []byte("\x0a\x01\x08"), 0, false},
		{"garbage after it", append(retryInfo(1, 0), 0xff), 0, false},
	} {
		got, ok := limit.RetryDelay(withDetails(codes.ResourceExhausted, status.Any{TypeURL: retryInfoURL, Value: c.value}))
		if got != c.want || ok != c.ok {
			t.Errorf("%s: got %v, %v, want %v, %v", c.name, got, ok, c.want, c.ok)
		}
		if want, wantOK := reference(t, c.value); got != want || ok != wantOK {
			t.Errorf("%s: got %v, %v, but protobuf decodes %v, %v", c.name, got, ok, want, wantOK)
		}
	}
}

// TestWhereRetryInfoIs: it is found in any error with a status, and in no other place.
func TestWhereRetryInfoIs(t *testing.T) {
	info := status.Any{TypeURL: retryInfoURL, Value: retryInfo(2, 0)}
	longer := status.Any{TypeURL: retryInfoURL, Value: retryInfo(3, 0)}
	broken := status.Any{TypeURL: retryInfoURL, Value: []byte{0xff}}
	strange := status.Any{TypeURL: "type.googleapis.com/google.rpc.ErrorInfo", Value: retryInfo(9, 0)}
	with := func(url string) status.Any { return status.Any{TypeURL: url, Value: info.Value} }
	for _, c := range []struct {
		name string
		err  error
		ok   bool
	}{
		{"no error", nil, false},
		{"no status", errors.New("no"), false},
		{"no details", status.Error(codes.ResourceExhausted, "no"), false},
		{"another code", withDetails(codes.Unavailable, info), true},
		{"a wrapped error", fmt.Errorf("calling: %w", withDetails(codes.ResourceExhausted, info)), true},
		{"after another detail", withDetails(codes.ResourceExhausted, strange, info), true},
		{"the first counts", withDetails(codes.ResourceExhausted, info, longer), true},
		{"the first counts, if it is malformed too", withDetails(codes.ResourceExhausted, broken, info), false},
		{"another detail", withDetails(codes.ResourceExhausted, strange), false},
		{"another host's type", withDetails(codes.ResourceExhausted, with("example.com/types/google.rpc.RetryInfo")), true},
		{"no host", withDetails(codes.ResourceExhausted, with("google.rpc.RetryInfo")), true},
		{"a longer name", withDetails(codes.ResourceExhausted, with("type.googleapis.com/x.google.rpc.RetryInfo")), false},
		{"no name", withDetails(codes.ResourceExhausted, with("")), false},
		{"a slash at the end", withDetails(codes.ResourceExhausted, with(retryInfoURL+"/")), false},
	} {
		got, ok := limit.RetryDelay(c.err)
		want := time.Duration(0)
		if c.ok {
			want = 2 * time.Second
		}
		if got != want || ok != c.ok {
			t.Errorf("%s: got %v, %v", c.name, got, ok)
		}
	}
}

// FuzzRetryDelay: RetryDelay agrees with protobuf's own decoder about any bytes.
func FuzzRetryDelay(f *testing.F) {
	f.Add(retryInfo(3, 500_000_000))
	f.Add(retryInfo(-1, -1))
	f.Add(retryInfo(wholeMost, restMost))
	f.Add([]byte(strings.Repeat("\x0a\x02\x08\x07\x0a\x02\x10\x09", 2)))
	f.Add([]byte("\x0a\x04\x0b\x08\x01\x0c"))
	f.Fuzz(func(t *testing.T, value []byte) {
		got, ok := limit.RetryDelay(withDetails(codes.ResourceExhausted, status.Any{TypeURL: retryInfoURL, Value: value}))
		if want, wantOK := reference(t, value); got != want || ok != wantOK {
			t.Errorf("%x: got %v, %v, but protobuf decodes %v, %v", value, got, ok, want, wantOK)
		}
	})
}

// described returns the descriptor of RetryInfo, which is not registered.
var described = sync.OnceValues(func() (protoreflect.MessageDescriptor, error) {
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name:       proto.String("google/rpc/error_details.proto"),
		Package:    proto.String("google.rpc"),
		Syntax:     proto.String("proto3"),
		Dependency: []string{"google/protobuf/duration.proto"},
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("RetryInfo"), Field: []*descriptorpb.FieldDescriptorProto{{
			Name: proto.String("retry_delay"), Number: proto.Int32(1), TypeName: proto.String(".google.protobuf.Duration"),
			Type: descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}}}},
	}, protoregistry.GlobalFiles)
	if err != nil {
		return nil, err
	}
	return file.Messages().Get(0), nil
})

// reference decodes a RetryInfo with protobuf.
func reference(t *testing.T, value []byte) (time.Duration, bool) {
	desc, err := described()
	if err != nil {
		t.Fatal(err)
	}
	m, field := dynamicpb.NewMessage(desc), desc.Fields().Get(0)
	if proto.Unmarshal(value, m) != nil || !m.Has(field) {
		return 0, false
	}
	fields := (*durationpb.Duration)(nil).ProtoReflect().Descriptor().Fields()
	get := func(name protoreflect.Name) int64 { return m.Get(field).Message().Get(fields.ByName(name)).Int() }
	d := &durationpb.Duration{Seconds: get("seconds"), Nanos: int32(get("nanos"))}
	if d.CheckValid() != nil || d.Seconds < 0 || d.Nanos < 0 {
		return 0, false
	}
	// AsDuration saturates.
	if d.AsDuration() == math.MaxInt64 && !(d.Seconds == wholeMost && int64(d.Nanos) == restMost) {
		return 0, false
	}
	return d.AsDuration(), true
}
