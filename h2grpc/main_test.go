package h2grpc_test

import (
	"bytes"
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"testing"
	"time"
)

// TestMain fails if the tests leave goroutines or descriptors behind.
func TestMain(m *testing.M) {
	flag.Parse()
	// The first socket makes the runtime open descriptors of its own.
	if lis, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		lis.Close()
	}
	fuzzing := flag.Lookup("test.fuzz").Value.String() != ""
	before, files := runtime.NumGoroutine(), descriptors()
	code := m.Run()
	if code == 0 && !fuzzing {
		code = leftovers(before, files)
	}
	os.Exit(code)
}

// leftovers compares with what existed before. Goroutines that are about to end get a
// moment.
func leftovers(goroutines int, files []string) int {
	deadline := time.Now().Add(5 * time.Second)
	for runtime.NumGoroutine() > goroutines || len(descriptors()) > len(files) {
		if time.Now().After(deadline) {
			var stacks bytes.Buffer
			pprof.Lookup("goroutine").WriteTo(&stacks, 2)
			fmt.Printf("FAIL: %d goroutines before the tests, %d after; descriptors %q before, %q after\n%s",
				goroutines, runtime.NumGoroutine(), files, descriptors(), stacks.Bytes())
			return 1
		}
		runtime.Gosched()
	}
	return 0
}

// descriptors lists what this process has open, on systems where that can be found.
func descriptors() []string {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var open []string
	for _, n := range names {
		if target, err := os.Readlink("/proc/self/fd/" + n); err == nil && n != fmt.Sprint(dir.Fd()) {
			open = append(open, n+" "+target)
		}
	}
	slices.Sort(open)
	return open
}
