package retry_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/host/retry"
	"github.com/tenonrpc/tenon/plugin/host/verify"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
)

// quick is a Policy without pauses that matter.
var quick = retry.Policy{Backoff: retry.Backoff{Initial: time.Millisecond, Max: time.Millisecond}, Total: time.Minute}

// recovering returns a configuration of a plugin that fails n times before it works,
// and the file that counts its launches.
func recovering(t *testing.T, n string) (*host.Config, string) {
	count := filepath.Join(t.TempDir(), "count")
	return fakeConfig(t, "recovers", countEnv+"="+count, failsEnv+"="+n), count
}

// works calls the plugin, and ends it.
func works(t *testing.T, c *host.Client) {
	t.Helper()
	if _, err := kvpb.NewKVClient(c.Conn()).Put(t.Context(), &kvpb.Entry{Key: "a"}); err != nil {
		t.Error(err)
	}
	closes(t, c)
}

// noFilesLeft fails the test at its end if something temporary is left.
func noFilesLeft(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Cleanup(func() {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left over: %v, %v", left, err)
		}
	})
}

func TestPluginThatFailsTwice(t *testing.T) {
	config, count := recovering(t, "2")
	noFilesLeft(t)
	type notice struct {
		attempt int
		stage   host.Stage
		wait    time.Duration
	}
	var notices []notice
	p := quick
	p.Backoff.Jitter = -1
	p.Notify = func(attempt int, err error, wait time.Duration) {
		e := (*host.StartError)(nil)
		errors.As(err, &e)
		notices = append(notices, notice{attempt, e.Stage, wait})
	}
	client, err := retry.Start(t.Context(), config, p)
	if err != nil {
		t.Fatal(err)
	}
	works(t, client)
	if n := launches(t, count); n != 3 {
		t.Errorf("it was launched %d times, want 3", n)
	}
	if want := (notice{1, host.StageHandshake, time.Millisecond}); len(notices) != 2 || notices[0] != want || notices[1].attempt != 2 {
		t.Errorf("told of %v", notices)
	}
	// The Config, and its Cmd, are as they were.
	if client, err = host.Start(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	works(t, client)
}

func TestPluginThatFailsTooOften(t *testing.T) {
	config, count := recovering(t, "9")
	noFilesLeft(t)
	_, err := retry.Start(t.Context(), config, quick)
	e := gaveUp(t, err, retry.ErrAttempts)
	if n := launches(t, count); n != 4 || e.Made != 4 || len(e.Attempts) != 4 {
		t.Errorf("launched %d times, in %d attempts, of which %d are kept; want 4", n, e.Made, len(e.Attempts))
	}
	text := err.Error()
	for _, want := range []string{
		"retry: gave up after 4 attempts in ",
		": no attempt is left\n  attempt 1, failed in ",
		": reading the handshake: the plugin ended before it printed a handshake line (exit status 3)\n  attempt 2, after a wait of ",
		"\nhost: starting the plugin ",
		"  hint: the plugin's stderr below may say why\n",
		"    | the database is locked",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

// gaveUp checks that err is an *Error with this reason, and with a *host.StartError.
func gaveUp(t *testing.T, err, reason error) *retry.Error {
	t.Helper()
	var e *retry.Error
	var start *host.StartError
	if !errors.As(err, &e) || e.Reason != reason || !errors.Is(err, reason) || !errors.As(err, &start) {
		t.Fatalf("got %v; want an *Error with the reason %v and a *host.StartError", err, reason)
	}
	return e
}

func TestOneAttemptIfMoreWouldNotHelp(t *testing.T) {
	sum, count := recovering(t, "0")
	sum.Verify = verify.SHA256(make([]byte, 32))
	for name, config := range map[string]*host.Config{"cookie": wrongCookie(t), "checksum": sum, "version": wrongVersion(t)} {
		_, err := retry.Start(t.Context(), config, quick)
		e := gaveUp(t, err, retry.ErrUnhelpful)
		if e.Made != 1 || strings.Contains(err.Error(), "attempt 1") || !strings.HasSuffix(err.Error(), "\n"+e.Attempts[0].Err.Error()) {
			t.Errorf("%s: %d attempts: %v", name, e.Made, err)
		}
		if want := name == "cookie"; errors.Is(err, host.ErrCookieRefused) != want {
			t.Errorf("%s: errors.Is reports %v for the cookie", name, !want)
		}
		if want := name == "checksum"; errors.Is(err, verify.ErrMismatch) != want {
			t.Errorf("%s: errors.Is reports %v for the checksum", name, !want)
		}
	}
	if n := launches(t, count); n != 0 {
		t.Errorf("the plugin with another checksum was launched %d times", n)
	}
}

// TestPluginToAttachToIsNotTriedAgain: one that has ended stays so.
func TestPluginToAttachToIsNotTriedAgain(t *testing.T) {
	config := attaching(t, func(c *host.Client, _ *host.Config) { closes(t, c) })
	_, err := retry.Start(t.Context(), config, quick)
	if e := gaveUp(t, err, retry.ErrUnhelpful); e.Made != 1 || !errors.Is(err, host.ErrNotRunning) {
		t.Errorf("%d attempts: %v", e.Made, err)
	}
}

// TestOneConfigForSeveralStarts has four starts at once, and the first four launches
// fail.
func TestOneConfigForSeveralStarts(t *testing.T) {
	config, count := recovering(t, "4")
	p := quick
	p.Attempts = 5 // if one start has all the failures
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			client, err := retry.Start(t.Context(), config, p)
			if err != nil {
				t.Error(err)
				return
			}
			works(t, client)
		})
	}
	all.Wait()
	if n := launches(t, count); n != 8 {
		t.Errorf("launched %d times, want four that fail and four that do not", n)
	}
}

// writer is called with what a plugin prints.
type writer func()

func (w writer) Write(b []byte) (int, error) { w(); return len(b), nil }

// TestContextEndsWhilePluginStarts has a plugin that says nothing until the context
// ends.
func TestContextEndsWhilePluginStarts(t *testing.T) {
	noFilesLeft(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	why := errors.New("the user pressed Ctrl-C")
	config := fakeConfig(t, "silent")
	config.Output.RawStderr = writer(func() { cancel(why) })
	_, err := retry.Start(ctx, config, quick)
	if e := gaveUp(t, err, why); e.Made != 1 {
		t.Errorf("%d attempts", e.Made)
	}
}

// TestTotalEndsAttempt has a plugin that says nothing for longer than Total.
func TestTotalEndsAttempt(t *testing.T) {
	noFilesLeft(t)
	p := quick
	p.Total = short
	_, err := retry.Start(t.Context(), fakeConfig(t, "silent"), p)
	if e := gaveUp(t, err, retry.ErrTotal); e.Made != 1 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%d attempts: %v", e.Made, err)
	}
}
