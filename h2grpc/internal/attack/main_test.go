//go:build linux

// Package attack_test attacks a server and a client of package h2grpc, each in a
// process of its own, as hostile peers do, and measures the effects.
//
// The test process is the peer: it sends any frames and breaks every rule. The victim
// is the same program, started again in another role. A third process makes
// well-behaved calls all the while and records how long they wait; if a client is the
// victim, the victim does that itself, to a second server.
//
// Each row of the table is one attack and has these bars:
//
//   - the victim answers as the row says, and sends GOAWAY before it closes a
//     connection;
//   - no more handlers are alive than the limit of streams allows;
//   - the victim's resident memory (VmHWM, the peak that the kernel keeps)
//     grows by no more than maxGrowth;
//   - no well-behaved call waits longer than maxWait;
//   - within maxFree of the peer's leaving its connections, descriptors,
//     goroutines and memory are free.
//
// Other work on the machine affects times and memory. So the same calls are also
// timed before and after each attack, without one, and an attack begins at a calm
// moment if there is one. A row that misses a bar of time or memory is run again, on
// a new victim, up to maxTries times, and passes if one run as a whole meets every
// bar; the table lists how many runs it took. A run beside which calls without any
// attack took longer than maxCalm proves nothing: it is repeated too, whatever was
// missed, but all rows together have no more than maxBusyRuns of these, and a row
// that needs more fails with that reason. Where a row waits for a time-out of many
// seconds, the bar applies to the longest of 99 calls of 100 instead of all. Nothing
// else is excused: on a calm machine a wrong answer, too many handlers or something
// that is never freed fails at once, and a fault that a victim repeats fails in every
// run.
//
// Without -attack, a few rows are run, and time and memory are not judged.
package attack_test

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"
)

const (
	maxGrowth = 16 << 20
	maxWait   = 50 * time.Millisecond
	maxCalm   = maxWait / 2
	maxFree   = time.Second
	maxTries  = 5
	// maxBusyRuns is how many runs of all rows together a busy machine may disturb.
	maxBusyRuns = 40
)

var (
	all     = flag.Bool("attack", false, "run every row and judge every bar")
	readme  = flag.String("readme", "", "write the verdicts between the markers of this file, if all is well")
	figures = flag.String("figures", "", "write the full figures to this file")
)

// roleVariable names the role of the program when it is not the test.
const roleVariable = "H2GRPC_ATTACK_ROLE"

func TestMain(m *testing.M) {
	switch role := os.Getenv(roleVariable); role {
	case "":
		os.Exit(m.Run())
	case "server":
		exit(serve())
	case "client":
		exit(makeCalls())
	default:
		exit(fmt.Errorf("there is no role %q", role))
	}
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
