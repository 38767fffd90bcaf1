//go:build unix

package host_test

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tenonrpc/tenon/plugin/host"
)

// TestReadingARecordDoesNotWait has a pipe instead of the file, to which nobody writes.
func TestReadingARecordDoesNotWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := host.ReadReattach(path); err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("got %v", err)
	}
}
