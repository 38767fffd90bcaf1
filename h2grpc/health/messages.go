package health

import (
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tenonrpc/tenon/wire/fields"
)

// Status is grpc.health.v1.HealthCheckResponse.ServingStatus: the status of one of a
// server's services. It is an open enum: values other than the constants are kept as
// they are.
type Status int32

// The statuses of grpc.health.v1.
const (
	Unknown        Status = 0 // the status has not been set
	Serving        Status = 1
	NotServing     Status = 2
	ServiceUnknown Status = 3 // only in answers to Watch
)

// String returns the name of the status in the health protocol, or "Status(n)" for a
// number that has none.
func (s Status) String() string {
	switch s {
	case Unknown:
		return "UNKNOWN"
	case Serving:
		return "SERVING"
	case NotServing:
		return "NOT_SERVING"
	case ServiceUnknown:
		return "SERVICE_UNKNOWN"
	}
	return fmt.Sprintf("Status(%d)", int32(s))
}

// The messages below are h2grpc.Messages. Unknown fields are dropped. The errors are
// those of package fields, after which the message is the zero value.

// checkRequest is HealthCheckRequest, the request of both Check and Watch.
type checkRequest struct {
	Service string // field 1; at most MaxService bytes
}

func (m *checkRequest) AppendTo(b []byte) ([]byte, error) {
	if err := fields.CheckText("service", m.Service, MaxService); err != nil {
		return b, fmt.Errorf("health: HealthCheckRequest: %w", err)
	}
	return fields.AppendBytes(b, 1, m.Service), nil
}

func (m *checkRequest) UnmarshalFrom(b []byte) error {
	*m = checkRequest{}
	err := fields.Each(b, func(f fields.Field) (err error) {
		if f.Is(1, protowire.BytesType) {
			m.Service, err = fields.Text("service", f, MaxService)
		}
		return err
	})
	if err != nil {
		*m = checkRequest{}
		return fmt.Errorf("health: HealthCheckRequest: %w", err)
	}
	return nil
}

// checkResponse is HealthCheckResponse, the response of Check and each message of
// Watch.
type checkResponse struct {
	Status Status // field 1
}

func (m *checkResponse) AppendTo(b []byte) ([]byte, error) {
	return fields.AppendInt32(b, 1, int32(m.Status)), nil
}

func (m *checkResponse) UnmarshalFrom(b []byte) error {
	*m = checkResponse{}
	err := fields.Each(b, func(f fields.Field) error {
		if f.Is(1, protowire.VarintType) {
			m.Status = Status(int32(f.N))
		}
		return nil
	})
	if err != nil {
		*m = checkResponse{}
		return fmt.Errorf("health: HealthCheckResponse: %w", err)
	}
	return nil
}

// listRequest is HealthListRequest, which has no fields.
type listRequest struct{}

func (*listRequest) AppendTo(b []byte) ([]byte, error) { return b, nil }

func (*listRequest) UnmarshalFrom(b []byte) error {
	if err := fields.Each(b, func(fields.Field) error { return nil }); err != nil {
		return fmt.Errorf("health: HealthListRequest: %w", err)
	}
	return nil
}

// listResponse is HealthListResponse: the status of every known service. Only servers
// need it.
type listResponse struct {
	Statuses map[string]Status // field 1, by the services' names
}

// AppendTo sorts by service, so that equal messages have equal encodings.
func (m *listResponse) AppendTo(b []byte) ([]byte, error) {
	services := make([]string, 0, len(m.Statuses))
	for service := range m.Statuses {
		if err := fields.CheckText("service", service, MaxService); err != nil {
			return b, fmt.Errorf("health: HealthListResponse: %w", err)
		}
		services = append(services, service)
	}
	slices.Sort(services)
	var entry []byte
	for _, service := range services {
		// An entry has its key and its value even if they are empty, as in every
		// implementation of protobuf.
		entry = fields.AppendPresent(entry[:0], 1, service)
		entry = fields.AppendPresent(entry, 2, fields.AppendInt32(nil, 1, int32(m.Statuses[service])))
		b = fields.AppendPresent(b, 1, entry)
	}
	return b, nil
}

func (*listResponse) UnmarshalFrom([]byte) error {
	return errors.New("health: a server does not decode HealthListResponse")
}
