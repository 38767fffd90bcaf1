package health

// The messages, for tests.
type (
	CheckRequest  = checkRequest
	CheckResponse = checkResponse
	ListRequest   = listRequest
	ListResponse  = listResponse
)

// The times of functions, for tests.
const (
	CheckTime     = checkTime
	WatchInterval = watchInterval
)
