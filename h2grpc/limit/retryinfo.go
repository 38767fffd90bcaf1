package limit

import (
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/wire/fields"
)

// retryInfo is the detail's message. It is encoded by hand, because registering the
// generated type would conflict with that of programs that link it.
//
// Source: https://github.com/googleapis/googleapis/blob/master/google/rpc/error_details.proto
const retryInfo = "google.rpc.RetryInfo"

// refusal returns the status of a call that may be let in after a time.
func refusal(text string, delay time.Duration) error {
	d := fields.AppendUint(nil, 1, uint64(delay/time.Second))
	d = fields.AppendInt32(d, 2, int32(delay%time.Second))
	return status.FromProto(status.Proto{
		Code:    int32(codes.ResourceExhausted),
		Message: text,
		Details: []status.Any{{
			TypeURL: "type.googleapis.com/" + retryInfo,
			Value:   fields.AppendPresent(nil, 1, d),
		}},
	}).Err()
}

// RetryDelay returns how long a client should wait before it makes a call again: the
// retry_delay of the first detail google.rpc.RetryInfo of the status that err carries,
// whatever its code, from a server of any library. It returns false if there is none,
// and if it is malformed, negative or more than a time.Duration can hold.
//
// The delay is the peer's word, and may be centuries: wait for the end of a context as
// well. Clients that were refused together are told the same delay: add a random part
// if there are many.
func RetryDelay(err error) (time.Duration, bool) {
	for _, d := range status.Convert(err).Proto().Details {
		if d.TypeURL[strings.LastIndexByte(d.TypeURL, '/')+1:] == retryInfo {
			return parse(d.Value)
		}
	}
	return 0, false
}

// parse decodes a RetryInfo. As in every message, of a field that comes twice the last
// counts, and a message that comes twice is merged.
func parse(b []byte) (delay time.Duration, ok bool) {
	var seconds int64
	var nanos int32
	err := fields.Each(b, func(f fields.Field) error {
		if !f.Is(1, protowire.BytesType) {
			return nil
		}
		ok = true
		return fields.Each(f.B, func(f fields.Field) error {
			switch {
			case f.Is(1, protowire.VarintType):
				seconds = int64(f.N)
			case f.Is(2, protowire.VarintType):
				nanos = int32(f.N)
			}
			return nil
		})
	})
	const most = int64(math.MaxInt64 / time.Second)
	// duration.proto: nanos are less than a second, and have the sign of seconds.
	if err != nil || !ok || seconds < 0 || seconds > most || nanos < 0 || int64(nanos) >= int64(time.Second) {
		return 0, false
	}
	delay = time.Duration(seconds)*time.Second + time.Duration(nanos)
	if delay < 0 { // in the last second of those that a Duration can hold
		return 0, false
	}
	return delay, true
}
