package codes_test

import (
	"testing"

	"github.com/tenonrpc/tenon/h2grpc/codes"
)

// TestCodes checks that names and numbers are gRPC's.
func TestCodes(t *testing.T) {
	names := []string{
		"OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists", "PermissionDenied", "ResourceExhausted",
		"FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated",
	}
	all := []codes.Code{
		codes.OK, codes.Canceled, codes.Unknown, codes.InvalidArgument, codes.DeadlineExceeded, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied, codes.ResourceExhausted,
		codes.FailedPrecondition, codes.Aborted, codes.OutOfRange, codes.Unimplemented, codes.Internal, codes.Unavailable, codes.DataLoss, codes.Unauthenticated,
	}
	for i, name := range names {
		if all[i] != codes.Code(i) || all[i].String() != name {
			t.Errorf("code %d is %d, %v; want %s", i, all[i], all[i], name)
		}
	}
	if got := codes.Code(17).String(); got != "Code(17)" {
		t.Errorf("17 is %q", got)
	}
	if got := codes.Code(1<<32 - 1).String(); got != "Code(4294967295)" {
		t.Errorf("the highest is %q", got)
	}
}
