package health_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc/health"
	"github.com/tenonrpc/tenon/testdata/vectors"
	"github.com/tenonrpc/tenon/wire/fields"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// read has the messages that servers decode; HealthListResponse is for clients.
var read = map[string]func() vectors.Codec{
	"HealthCheckRequest":  func() vectors.Codec { return new(health.CheckRequest) },
	"HealthCheckResponse": func() vectors.Codec { return new(health.CheckResponse) },
	"HealthListRequest":   func() vectors.Codec { return new(health.ListRequest) },
}

func TestVectors(t *testing.T) {
	vectors.RunMessages(t, "health", read)
}

// FuzzMessages compares decoding and encoding with protobuf's own implementation, on
// the same bytes.
func FuzzMessages(f *testing.F) {
	for _, v := range vectors.LoadMessages(f, "health") {
		f.Add(v.Input)
	}
	messages := file(f).Messages()
	f.Fuzz(func(t *testing.T, input []byte) {
		for name, newMessage := range read {
			vectors.RoundTrip(t, input, newMessage)
			vectors.AgainstProtobuf(t, messages.ByName(protoreflect.Name(name)), input, newMessage())
		}
	})
}

func TestStatusString(t *testing.T) {
	for status, want := range map[health.Status]string{
		health.Unknown:        "UNKNOWN",
		health.Serving:        "SERVING",
		health.NotServing:     "NOT_SERVING",
		health.ServiceUnknown: "SERVICE_UNKNOWN",
		-1:                    "Status(-1)",
		4:                     "Status(4)",
	} {
		if got := status.String(); got != want {
			t.Errorf("status %d is called %q, want %q", int32(status), got, want)
		}
	}
}

// TestAppendErrors encodes messages that no peer would accept.
func TestAppendErrors(t *testing.T) {
	long := strings.Repeat("a", health.MaxService+1)
	for _, c := range []struct {
		m    vectors.Codec
		want error
	}{
		{&health.CheckRequest{Service: long}, fields.ErrTooLong},
		{&health.CheckRequest{Service: "\xff"}, fields.ErrUTF8},
		{&health.ListResponse{Statuses: map[string]health.Status{long: 1}}, fields.ErrTooLong},
		{&health.ListResponse{Statuses: map[string]health.Status{"\xff": 1}}, fields.ErrUTF8},
	} {
		b, err := c.m.AppendTo([]byte("before"))
		if !errors.Is(err, c.want) || string(b) != "before" {
			t.Errorf("%T: AppendTo gave %q, %v, want %v", c.m, b, err, c.want)
		}
	}
}

// TestListIsSorted encodes the same list twice.
func TestListIsSorted(t *testing.T) {
	list := health.ListResponse{Statuses: make(map[string]health.Status)}
	var want []byte
	for c := byte('a'); c <= 'z'; c++ {
		list.Statuses[string(c)] = health.Serving
		want = append(want, 0x0a, 7, 0x0a, 1, c, 0x12, 2, 0x08, 1)
	}
	if got, err := list.AppendTo(nil); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %x, %v, want %x", got, err, want)
	}
}
