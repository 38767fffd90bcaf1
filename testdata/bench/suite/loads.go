package suite

import (
	"fmt"

	"github.com/tenonrpc/tenon/plugin/bench/agent"
)

// Names of loads that others refer to.
const (
	Small1       = "8 B × 1"
	Small16      = "8 B × 16"
	Small128     = "8 B × 128"
	Large64K     = "64 KiB × 1"
	Large1M      = "1 MiB × 1"
	ServerStream = "server stream"
)

// Loads returns all loads.
func Loads() []agent.Load {
	unary := func(name string, size, callers int) agent.Load {
		return agent.Load{Name: name, Kind: agent.Echo, Size: size, Callers: callers}
	}
	stream := func(name string, kind agent.Kind) agent.Load {
		return agent.Load{Name: name, Kind: kind, Size: streamSize, Callers: 1}
	}
	loads := []agent.Load{
		unary(Small1, 8, 1),
		unary(Small16, 8, 16),
		unary(Small128, 8, 128),
		unary("1 KiB × 1", 1<<10, 1),
		unary("1 KiB × 16", 1<<10, 16),
		unary(Large64K, 64<<10, 1),
		unary(Large1M, 1<<20, 1),
		unary("1 MiB × 4", 1<<20, 4),
		{Name: "deadline, 5 pairs × 1", Kind: agent.Inspect, Size: 8, Callers: 1},
		{Name: "deadline, 5 pairs × 16", Kind: agent.Inspect, Size: 8, Callers: 16},
		stream(ServerStream, agent.Source),
		stream("client stream", agent.Sink),
		stream("stream both ways", agent.Chat),
		stream("stream, one at a time", agent.PingPong),
	}
	for _, callers := range []int{1, 16} {
		load := unary(fmt.Sprintf("8 B × %d, %d parked", callers, parked), 8, callers)
		load.Parked = parked
		loads = append(loads, load)
	}
	for _, beside := range []agent.Beside{agent.Waiting, agent.Computing} {
		load := unary(fmt.Sprintf("8 B × 1, %s beside", beside), 8, 1)
		load.Beside = beside
		loads = append(loads, load)
	}
	return loads
}

const (
	parked     = 1000
	streamSize = 100 // bytes
)

// rawCan reports whether a bare socket can take part in a load.
func rawCan(load *agent.Load) bool {
	return load.Kind == agent.Echo && load.Callers == 1 && load.Parked == 0 && load.Beside == ""
}
