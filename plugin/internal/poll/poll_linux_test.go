package poll_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tenonrpc/tenon/plugin/internal/poll"
)

func TestMain(m *testing.M) {
	if os.Getenv("TN_WAIT") != "" {
		os.Stdin.Read(make([]byte, 1))
		return
	}
	os.Exit(m.Run())
}

func newPoller(t *testing.T) *poll.Poller {
	t.Helper()
	p, err := poll.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func wantIDs(t *testing.T, p *poll.Poller, want ...int) {
	t.Helper()
	for len(want) > 0 {
		ids, err := p.Wait()
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			i := slices.Index(want, id)
			if i < 0 {
				t.Fatalf("%d is reported, want one of %d", id, want)
			}
			want = slices.Delete(want, i, i+1)
		}
	}
}

func TestPeerGone(t *testing.T) {
	p := newPoller(t)
	var readers []*os.File
	for id := range 2 {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		defer w.Close()
		if err := p.AddPeer(int(w.Fd()), id); err != nil {
			t.Fatal(err)
		}
		w.WriteString("unread bytes are no event")
		readers = append(readers, r)
	}
	reported := make(chan []int)
	go func() {
		ids, _ := p.Wait()
		reported <- ids
	}()
	readers[1].Close()
	if ids := <-reported; !slices.Equal(ids, []int{1}) {
		t.Fatalf("%d are reported, want 1 alone", ids)
	}
	readers[0].Close()
	wantIDs(t, p, 0) // and not 1 again
}

func TestFileHasNoPeer(t *testing.T) {
	p := newPoller(t)
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := p.AddPeer(int(f.Fd()), 0); err == nil {
		t.Error("a file is taken for something with another end")
	}
}

func TestProcessEnds(t *testing.T) {
	p := newPoller(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "TN_WAIT=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	proc, err := os.FindProcess(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.AddProcess(proc, 7); err != nil {
		t.Fatal(err)
	}
	stdin.Close()
	wantIDs(t, p, 7)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	gone, err := os.FindProcess(cmd.Process.Pid)
	if err == nil {
		err = p.AddProcess(gone, 8)
	}
	if err == nil {
		t.Error("a process that is gone can be waited for")
	}
}

func TestCloseEndsWait(t *testing.T) {
	p := newPoller(t)
	failed := make(chan error)
	go func() {
		_, err := p.Wait()
		failed <- err
	}()
	p.Close()
	if err := <-failed; !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v, want os.ErrClosed", err)
	}
}
