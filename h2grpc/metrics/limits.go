package metrics

// other is the label of methods and codes without counts of their own.
const other = "other"

// maxMethods is how many methods have counts of their own, for each Stats and both
// sides together: far above what an application has, and some half a megabyte.
const maxMethods = 1000

// codeNames are the labels of the codes, as in dashboards for gRPC in Go.
var codeNames = [...]string{
	"OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists", "PermissionDenied",
	"ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented", "Internal", "Unavailable",
	"DataLoss", "Unauthenticated", other,
}

// bounds are those of the histogram's buckets, inclusive, in seconds: from the quickest
// call on a local socket to the patience of people.
var bounds = [...]float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
