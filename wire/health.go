package wire

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Limits of the messages of grpc.health.v1. AppendTo and UnmarshalFrom both
// refuse what exceeds them.
const (
	// MaxHealthService bounds a service's name in bytes. Names are those of
	// protobuf services or short words such as "plugin"; a kilobyte is far
	// above both.
	MaxHealthService = 1 << 10

	// MaxHealthStatuses bounds the number of services in a
	// HealthListResponse. grpc-go's servers list 100 at most; other servers
	// have no limit, so a client takes some more.
	MaxHealthStatuses = 1 << 10
)

// HealthStatus is grpc.health.v1.HealthCheckResponse.ServingStatus: what a
// server says of one of its services. It is an open enum: other values than
// the constants arrive as they are.
type HealthStatus int32

// The statuses of grpc.health.v1.
const (
	HealthUnknown        HealthStatus = 0 // the server has not said
	HealthServing        HealthStatus = 1
	HealthNotServing     HealthStatus = 2
	HealthServiceUnknown HealthStatus = 3 // only in answers to Watch
)

// String returns the status's name in the health protocol, or
// "HealthStatus(n)" for a number that has none.
func (s HealthStatus) String() string {
	switch s {
	case HealthUnknown:
		return "UNKNOWN"
	case HealthServing:
		return "SERVING"
	case HealthNotServing:
		return "NOT_SERVING"
	case HealthServiceUnknown:
		return "SERVICE_UNKNOWN"
	}
	return fmt.Sprintf("HealthStatus(%d)", int32(s))
}

// HealthCheckRequest is grpc.health.v1.HealthCheckRequest, the request of both
// Check and Watch. The empty service stands for the server as a whole.
type HealthCheckRequest struct {
	Service string // field 1; at most MaxHealthService bytes
}

// AppendTo appends m's protobuf encoding to b. The errors are ErrTooLong and
// ErrUTF8, with b returned unchanged.
func (m *HealthCheckRequest) AppendTo(b []byte) ([]byte, error) {
	if err := checkText("service", m.Service, MaxHealthService); err != nil {
		return b, fmt.Errorf("wire: HealthCheckRequest: %w", err)
	}
	return appendText(b, 1, m.Service), nil
}

// UnmarshalFrom reads m from b and keeps nothing of b. Unknown fields are
// dropped. The errors are ErrMessage, ErrTooLong and ErrUTF8; m is then the
// zero value.
func (m *HealthCheckRequest) UnmarshalFrom(b []byte) error {
	*m = HealthCheckRequest{}
	err := eachField(b, func(f field) (err error) {
		if f.is(1, protowire.BytesType) {
			m.Service, err = textField("service", f, MaxHealthService)
		}
		return err
	})
	if err != nil {
		*m = HealthCheckRequest{}
		return fmt.Errorf("wire: HealthCheckRequest: %w", err)
	}
	return nil
}

// HealthCheckResponse is grpc.health.v1.HealthCheckResponse, the response of
// Check and each message of Watch.
type HealthCheckResponse struct {
	Status HealthStatus // field 1
}

// AppendTo appends m's protobuf encoding to b. It never fails.
func (m *HealthCheckResponse) AppendTo(b []byte) ([]byte, error) {
	return appendHealthStatus(b, m.Status), nil
}

// UnmarshalFrom reads m from b. Unknown fields are dropped. The error is
// ErrMessage; m is then the zero value.
func (m *HealthCheckResponse) UnmarshalFrom(b []byte) error {
	status, err := mergeHealthStatus(HealthUnknown, b)
	if err != nil {
		*m = HealthCheckResponse{}
		return fmt.Errorf("wire: HealthCheckResponse: %w", err)
	}
	*m = HealthCheckResponse{Status: status}
	return nil
}

// appendHealthStatus appends the content of a HealthCheckResponse.
func appendHealthStatus(b []byte, s HealthStatus) []byte {
	return appendInt32(b, 1, int32(s))
}

// mergeHealthStatus returns the status of the HealthCheckResponse b, or status
// if b has none.
func mergeHealthStatus(status HealthStatus, b []byte) (HealthStatus, error) {
	err := eachField(b, func(f field) error {
		if f.is(1, protowire.VarintType) {
			status = HealthStatus(int32(f.n))
		}
		return nil
	})
	return status, err
}

// HealthListRequest is grpc.health.v1.HealthListRequest, which has no fields.
type HealthListRequest struct{}

// AppendTo appends m's encoding, which is no bytes at all.
func (*HealthListRequest) AppendTo(b []byte) ([]byte, error) { return b, nil }

// UnmarshalFrom reads m from b. The error is ErrMessage.
func (*HealthListRequest) UnmarshalFrom(b []byte) error {
	if err := eachField(b, func(field) error { return nil }); err != nil {
		return fmt.Errorf("wire: HealthListRequest: %w", err)
	}
	return nil
}

// HealthListResponse is grpc.health.v1.HealthListResponse: the status of every
// service that the server knows of.
type HealthListResponse struct {
	// Statuses is field 1, a map by the services' names, each of at most
	// MaxHealthService bytes. It has at most MaxHealthStatuses entries and is
	// nil, not empty, when a message without any was read.
	Statuses map[string]HealthStatus
}

// AppendTo appends m's protobuf encoding to b, sorted by service, so that
// equal messages have equal bytes. The errors are ErrTooLong and ErrUTF8, with
// b returned unchanged.
func (m *HealthListResponse) AppendTo(b []byte) ([]byte, error) {
	if len(m.Statuses) > MaxHealthStatuses {
		return b, fmt.Errorf("wire: HealthListResponse: statuses: %w of %d entries", ErrTooLong, MaxHealthStatuses)
	}
	services := make([]string, 0, len(m.Statuses))
	for service := range m.Statuses {
		if err := checkText("service", service, MaxHealthService); err != nil {
			return b, fmt.Errorf("wire: HealthListResponse: %w", err)
		}
		services = append(services, service)
	}
	slices.Sort(services)
	var entry, value []byte
	for _, service := range services {
		value = appendHealthStatus(value[:0], m.Statuses[service])
		// An entry has its key and its value even when they are empty, as
		// every protobuf implementation writes it.
		entry = appendPresent(entry[:0], 1, service)
		entry = appendPresent(entry, 2, value)
		b = appendPresent(b, 1, entry)
	}
	return b, nil
}

// UnmarshalFrom reads m from b and keeps nothing of b. Of two entries for the
// same service the later one counts. Unknown fields are dropped. The errors
// are ErrMessage, ErrTooLong and ErrUTF8; m is then the zero value.
func (m *HealthListResponse) UnmarshalFrom(b []byte) error {
	*m = HealthListResponse{}
	err := eachField(b, func(f field) error {
		if !f.is(1, protowire.BytesType) {
			return nil
		}
		service, status, err := parseHealthEntry(f.b)
		if err != nil {
			return err
		}
		if m.Statuses == nil {
			m.Statuses = make(map[string]HealthStatus)
		}
		m.Statuses[service] = status
		if len(m.Statuses) > MaxHealthStatuses {
			return fmt.Errorf("statuses: %w of %d entries", ErrTooLong, MaxHealthStatuses)
		}
		return nil
	})
	if err != nil {
		*m = HealthListResponse{}
		return fmt.Errorf("wire: HealthListResponse: %w", err)
	}
	return nil
}

// parseHealthEntry reads one entry of the map of a HealthListResponse: a
// message with the key as field 1 and the value as field 2.
func parseHealthEntry(b []byte) (service string, status HealthStatus, err error) {
	err = eachField(b, func(f field) (err error) {
		switch {
		case f.is(1, protowire.BytesType):
			service, err = textField("service", f, MaxHealthService)
		case f.is(2, protowire.BytesType):
			status, err = mergeHealthStatus(status, f.b)
		}
		return err
	})
	return service, status, err
}

// appendPresent appends a string, bytes or message field even when it is
// empty, as map entries, members of a oneof and repeated fields want it.
func appendPresent[T string | []byte](b []byte, num protowire.Number, v T) []byte {
	b = protowire.AppendTag(b, num, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(v)))
	return append(b, v...)
}
