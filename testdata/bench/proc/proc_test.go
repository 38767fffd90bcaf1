package proc_test

import (
	"os"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/plugin/bench/proc"
)

func TestMemory(t *testing.T) {
	now, peak, err := proc.Memory(os.Getpid())
	if err != nil || now < 1<<20 || peak < now {
		t.Fatalf("this process has %d bytes, %d at its peak, %v", now, peak, err)
	}
	const more = 64 << 20
	b := make([]byte, more)
	for i := range b {
		b[i] = byte(i)
	}
	after, peak, err := proc.Memory(os.Getpid())
	if err != nil || after < now+more/2 || peak < after {
		t.Errorf("with %d bytes more it has %d, after %d, and %d at its peak, %v", len(b), after, now, peak, err)
	}
	if err := proc.ForgetPeak(); err != nil {
		t.Error(err)
	}
}

func TestCPU(t *testing.T) {
	before, err := proc.CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const busy = 20 * time.Millisecond
	for begin := time.Now(); time.Since(begin) < 10*busy; {
		if after, err := proc.CPU(os.Getpid()); err != nil || after-before > busy {
			if err != nil {
				t.Error(err)
			}
			return
		}
	}
	t.Errorf("after being busy for %v it has used less than %v", 10*busy, busy)
}
