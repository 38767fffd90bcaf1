package health

const (
	// MaxService bounds a service's name in bytes. Names are those of protobuf
	// services or short words such as "plugin"; a kilobyte is far above both.
	MaxService = 1 << 10

	// maxListed is the largest number of services that List answers with, the same
	// as grpc-go's: a client that asks for everything must not make the server
	// send megabytes.
	maxListed = 100
)
