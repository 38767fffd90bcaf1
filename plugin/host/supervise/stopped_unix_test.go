//go:build unix

package supervise_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin/host/supervise"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
)

// TestWatchdog: a plugin that does not run, and so answers nothing, is killed, and the
// calls that wait for it learn that it ended.
func TestWatchdog(t *testing.T) {
	s, kv := start(t, &supervise.Config{
		Host:   command("stuck", ""),
		Health: supervise.Health{Interval: 10 * time.Millisecond, Timeout: 50 * time.Millisecond},
		Drain:  time.Hour, // which is not for those that do not answer
	})
	_, before := who(t, kv)
	old := s.Client()
	if err := syscall.Kill(old.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	// The call may find the next process already.
	if _, err := kv.Put(t.Context(), &kvpb.Entry{Key: "a"}); err != nil && status.Code(err) != codes.Unavailable {
		t.Errorf("a call to a process that does not run: %v", err)
	}
	<-old.Done()
	if _, after := who(t, kv); after == before {
		t.Error("it is the same process")
	}
	if exit := s.Status().LastExit; exit.Why != supervise.WhySilent || exit.Status.Signal == "" {
		t.Errorf("the last exit is %v", exit)
	}
}
