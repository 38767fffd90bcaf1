package retry_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/host/retry"
	"github.com/tenonrpc/tenon/testdata/examples/kvshared"
)

// TestHelpsWithoutDescriptors has a host that has used up its descriptors before it
// starts a plugin: a process of its own, because the limit is a process's.
func TestHelpsWithoutDescriptors(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelpsWithoutDescriptors$")
	if os.Getenv("TN_RETRY_LIMIT") != "" {
		withoutDescriptors()
		return
	}
	cmd.Env = append(os.Environ(), "TN_RETRY_LIMIT=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "EMFILE true, stage preparing the launch, helps true\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

func withoutDescriptors() {
	var limit syscall.Rlimit
	must(syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	f, err := os.Open(os.DevNull) // gets the lowest descriptor that is free
	must(err)
	defer f.Close()
	old := limit.Cur
	limit.Cur = uint64(f.Fd()) + 1
	must(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	config := &host.Config{Handshake: kvshared.Handshake, Cmd: exec.Command(os.Args[0])}
	config.Sockets.TempDir = os.TempDir()
	_, err = host.Start(context.Background(), config)
	limit.Cur = old
	must(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	var e *host.StartError
	errors.As(err, &e)
	fmt.Printf("%v\nEMFILE %v, stage %v, helps %v\n", err, errors.Is(err, syscall.EMFILE), e.Stage, retry.Helps(err))
}
