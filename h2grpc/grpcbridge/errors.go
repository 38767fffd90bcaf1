package grpcbridge

import (
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// The two libraries find a status by methods of the same name with different results,
// so that one type cannot have both: each type here wraps an error of the other
// library.
type (
	grpcCarrier interface {
		GRPCStatus() *grpcstatus.Status
	}
	h2Carrier interface{ GRPCStatus() *status.Status }
)

// GRPCError returns an error that grpc-go's status package understands: FromError and
// Code return the status of h2grpc that err carries, with all its details. errors.Is
// and errors.As find in it what they find in err, and its text is err's. An error
// that carries a status of grpc-go already, or none at all, such as io.EOF, is
// returned unchanged, and so is nil.
//
// It is made for MapError of an h2grpc.ClientConfig, for calls without a
// [ClientConn], which uses it itself. It may be called concurrently.
func GRPCError(err error) error {
	if h, ok := err.(*h2Error); ok {
		return h.error
	}
	if _, ok := grpcstatus.FromError(err); ok {
		return err
	}
	st, ok := status.FromError(err)
	if !ok {
		return err
	}
	return &grpcError{err, grpcStatus(st)}
}

// H2Error returns an error that h2grpc's status package understands: FromError and
// Code return the status of grpc-go that err carries, with all its details. errors.Is
// and errors.As find in it what they find in err, and its text is err's. An error
// that carries a status of h2grpc only, or none at all, is returned unchanged, and so
// is nil; so is one whose status is OK, which a failed call cannot have.
//
// It is made for MapError of an h2grpc.ServerConfig, for handlers that are registered
// without a [Registrar], which uses it itself, and that still return grpc-go's status
// errors. It may be called concurrently.
func H2Error(err error) error {
	if g, ok := err.(*grpcError); ok {
		return g.error
	}
	if _, ok := err.(h2Carrier); ok {
		return err
	}
	st, ok := grpcstatus.FromError(err)
	if !ok || codes.Code(st.Code()) == codes.OK {
		return err
	}
	return &h2Error{err, h2Status(st)}
}

// grpcError adds a status of grpc-go to an error of h2grpc.
type grpcError struct {
	error
	status *grpcstatus.Status
}

func (e *grpcError) GRPCStatus() *grpcstatus.Status { return e.status }
func (e *grpcError) Unwrap() error                  { return e.error }

// Is reports whether target has the same status, as grpc-go's errors do.
func (e *grpcError) Is(target error) bool {
	t, ok := target.(grpcCarrier)
	return ok && proto.Equal(e.status.Proto(), t.GRPCStatus().Proto())
}

// h2Error adds a status of h2grpc to an error of grpc-go.
type h2Error struct {
	error
	status *status.Status
}

func (e *h2Error) GRPCStatus() *status.Status { return e.status }
func (e *h2Error) Unwrap() error              { return e.error }

// grpcStatus and h2Status copy a status field by field. Details stay encoded, so that
// their types need not be linked.
func grpcStatus(st *status.Status) *grpcstatus.Status {
	from := st.Proto()
	to := &spb.Status{Code: from.Code, Message: from.Message}
	for _, d := range from.Details {
		to.Details = append(to.Details, &anypb.Any{TypeUrl: d.TypeURL, Value: d.Value})
	}
	return grpcstatus.FromProto(to)
}

func h2Status(st *grpcstatus.Status) *status.Status {
	from := st.Proto()
	to := status.Proto{Code: from.GetCode(), Message: from.GetMessage()}
	for _, d := range from.GetDetails() {
		to.Details = append(to.Details, status.Any{TypeURL: d.GetTypeUrl(), Value: d.GetValue()})
	}
	return status.FromProto(to)
}
