package health

// The messages, for tests.
type (
	CheckRequest  = checkRequest
	CheckResponse = checkResponse
	ListRequest   = listRequest
	ListResponse  = listResponse
)
