package health

const (
	// MaxService limits the name of a service, in bytes. Names are those of protobuf
	// services or short words such as "plugin"; a kilobyte is far above both.
	MaxService = 1 << 10

	// maxListed is the largest number of services that List returns, the same as
	// grpc-go's: a client that asks for all of them must not make the server send
	// megabytes.
	maxListed = 100
)
