package wire_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/wire"
)

var healthMessages = map[string]func() protoMessage{
	"HealthCheckRequest":  func() protoMessage { return new(wire.HealthCheckRequest) },
	"HealthCheckResponse": func() protoMessage { return new(wire.HealthCheckResponse) },
	"HealthListRequest":   func() protoMessage { return new(wire.HealthListRequest) },
	"HealthListResponse":  func() protoMessage { return new(wire.HealthListResponse) },
}

func TestHealthVectors(t *testing.T) {
	runMessageVectors(t, "health", healthMessages)
}

func FuzzHealth(f *testing.F) {
	for _, v := range readMessageVectors(f, "health") {
		f.Add(v.input)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		for _, newMessage := range healthMessages {
			checkRoundTrip(t, input, newMessage)
		}
	})
}

func TestHealthStatusString(t *testing.T) {
	for status, want := range map[wire.HealthStatus]string{
		wire.HealthUnknown:        "UNKNOWN",
		wire.HealthServing:        "SERVING",
		wire.HealthNotServing:     "NOT_SERVING",
		wire.HealthServiceUnknown: "SERVICE_UNKNOWN",
		-1:                        "HealthStatus(-1)",
		4:                         "HealthStatus(4)",
	} {
		if got := status.String(); got != want {
			t.Errorf("status %d is called %q, want %q", int32(status), got, want)
		}
	}
}

// TestHealthStatusesLimit fills a list to its limit and past it, in both
// directions.
func TestHealthStatusesLimit(t *testing.T) {
	full := wire.HealthListResponse{Statuses: make(map[string]wire.HealthStatus)}
	for i := range wire.MaxHealthStatuses {
		full.Statuses[fmt.Sprint("service ", i)] = wire.HealthServing
	}
	b, err := full.AppendTo(nil)
	if err != nil {
		t.Fatalf("a full list: %v", err)
	}
	var got wire.HealthListResponse
	if err := got.UnmarshalFrom(b); err != nil {
		t.Fatalf("a full list: %v", err)
	}
	// A repeated service is not a new entry.
	if err := got.UnmarshalFrom(append(b, b...)); err != nil {
		t.Fatalf("a full list, twice: %v", err)
	}
	if len(got.Statuses) != wire.MaxHealthStatuses {
		t.Fatalf("a full list, twice, has %d entries", len(got.Statuses))
	}

	one := wire.HealthListResponse{Statuses: map[string]wire.HealthStatus{"one more": wire.HealthServing}}
	b, err = one.AppendTo(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := got.UnmarshalFrom(b); !errors.Is(err, wire.ErrTooLong) {
		t.Errorf("parsing one entry too many gave %v", err)
	}
	full.Statuses["one more"] = wire.HealthServing
	if b, err := full.AppendTo([]byte("before")); !errors.Is(err, wire.ErrTooLong) || string(b) != "before" {
		t.Errorf("appending one entry too many gave %q, %v", b, err)
	}
}

// TestHealthAppendErrors appends what UnmarshalFrom would refuse.
func TestHealthAppendErrors(t *testing.T) {
	long := strings.Repeat("a", wire.MaxHealthService+1)
	for _, c := range []struct {
		m    protoMessage
		want error
	}{
		{&wire.HealthCheckRequest{Service: long}, wire.ErrTooLong},
		{&wire.HealthCheckRequest{Service: "\xff"}, wire.ErrUTF8},
		{&wire.HealthListResponse{Statuses: map[string]wire.HealthStatus{long: 1}}, wire.ErrTooLong},
		{&wire.HealthListResponse{Statuses: map[string]wire.HealthStatus{"\xff": 1}}, wire.ErrUTF8},
	} {
		b, err := c.m.AppendTo([]byte("before"))
		if !errors.Is(err, c.want) || string(b) != "before" {
			t.Errorf("%T: AppendTo gave %q, %v, want %v", c.m, b, err, c.want)
		}
	}
}
