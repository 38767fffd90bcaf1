package health

import "time"

const (
	// MaxService limits the name of a service, in bytes. Names are those of protobuf
	// services or short words such as "plugin"; a kilobyte is far above both.
	MaxService = 1 << 10

	// maxListed is the largest number of services that List returns, the same as
	// grpc-go's: a client that asks for all of them must not make the server send
	// megabytes.
	maxListed = 100

	// checkTime is how long a function of SetCheck may take. It is longer than a healthy
	// program needs to look at itself or at a neighbour, and shorter than the patience of
	// whoever asks.
	checkTime = 5 * time.Second

	// watchInterval is how often a function is called while somebody watches: as often as
	// is usual for those who ask again and again.
	watchInterval = 10 * time.Second
)
