package host_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/host/verify"
)

var launches = flag.Int("launches", 300, "how often the test of verification launches a plugin whose file is being replaced")

// sumOf returns the SHA-256 of a file.
func sumOf(t *testing.T, path string) []byte {
	t.Helper()
	sum, err := fileSum(path)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func fileSum(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	sum := sha256.Sum256(text)
	return sum[:], err
}

func TestVerifiedPlugin(t *testing.T) {
	noLeaks(t)
	cfg := fakeConfig(t, "real")
	cfg.Plugins = plugin.Set{"echo": echo{}}
	cfg.Verify = verify.SHA256(sumOf(t, cfg.Cmd.Path))
	c := start(t, cfg)
	client, err := host.Dispense[*echoClient](t.Context(), c, "echo")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := client.call(t.Context(), echoMethod, "hello"); err != nil || got != "1 hello" {
		t.Errorf("got %q, %v", got, err)
	}
	if runtime.GOOS == "linux" {
		to, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", c.PID()))
		if want := "/memfd:" + filepath.Base(cfg.Cmd.Path); err != nil || !strings.HasPrefix(to, want) {
			t.Errorf("what runs is %q, %v, want %s", to, err, want)
		}
	}
	closes(t, c)
}

// What a Verifier reads is what is executed, whether from memory or from a file.
func TestVerifierReadsWhatIsExecuted(t *testing.T) {
	notOnWindows(t, "there are no scripts")
	for name, content := range map[string]string{
		"script": "#!/bin/sh\necho it ran as $0 >&2; exit 3\n",
	} {
		noLeaks(t)
		cfg := file(name, 0o700, content)(t)
		var read []byte
		cfg.Verify = func(_ context.Context, path string, r io.Reader) (err error) {
			if path != cfg.Cmd.Path {
				t.Errorf("the Verifier is given the name %q, not %q", path, cfg.Cmd.Path)
			}
			read, err = io.ReadAll(r)
			// Too late to matter.
			os.WriteFile(path, []byte("#!/bin/sh\necho another\n"), 0o700)
			return err
		}
		failed := failing(t, cfg)
		if string(read) != content {
			t.Errorf("the Verifier read %q", read)
		}
		if failed.ExitStatus.Code != 3 || !strings.Contains(string(failed.Stderr), "it ran as "+os.TempDir()+"/tenon-") {
			t.Errorf("what was verified did not run: %v", failed)
		}
	}
}

// buildVerified builds the two programs of testdata/verified.
func buildVerified(t *testing.T) (good, evil []byte) {
	t.Helper()
	dir := t.TempDir()
	for i, flags := range []string{"-s -w", "-s -w -X main.Evil=1"} {
		path := filepath.Join(dir, fmt.Sprint(i))
		build := exec.Command("go", "build", "-race=false", "-ldflags="+flags, "-o", path, "testdata/verified/main.go")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("building: %v\n%s", err, out)
		}
	}
	for i, to := range []*[]byte{&good, &evil} {
		text, err := os.ReadFile(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		*to = text
	}
	return good, evil
}

// replace makes the file at path now good and now evil, by renaming and by
// writing in place, until ctx ends.
func replace(ctx context.Context, path string, good, evil []byte) error {
	for i := 0; ctx.Err() == nil; i++ {
		content := good
		if i%2 == 0 {
			content = evil
		}
		if i/2%2 == 0 {
			if err := os.WriteFile(path+".new", content, 0o700); err != nil {
				return err
			}
			if err := os.Rename(path+".new", path); err != nil {
				return err
			}
			continue
		}
		// Fails while the file itself is executed, which it must never be.
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			continue
		}
		f.Write(content)
		f.Truncate(int64(len(content)))
		f.Close()
	}
	return nil
}

// launchAll launches the plugin at path again and again, several at a time,
// while it is being replaced, and counts how the starts ended.
func launchAll(t *testing.T, verify host.Verifier, good, evil []byte, most int, enough func(marked bool) bool) (ends map[host.Stage]int, marked bool) {
	t.Helper()
	dir := t.TempDir()
	path, marker := filepath.Join(dir, "plugin"), filepath.Join(dir, "marker")
	if err := os.WriteFile(path, good, 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var attack, hosts sync.WaitGroup
	attack.Go(func() {
		if err := replace(ctx, path, good, evil); err != nil {
			t.Error(err)
		}
	})
	var (
		count atomic.Int64
		mu    sync.Mutex
	)
	ends = make(map[host.Stage]int)
	for range 4 {
		hosts.Go(func() {
			for int(count.Add(1)) <= most {
				c, err := host.Start(t.Context(), &host.Config{
					Handshake: shake, Cmd: exec.Command(path, marker), Curve: host.P256, Verify: verify, Logger: testLogger(t),
				})
				var failed *host.StartError
				if !errors.As(err, &failed) {
					c.Kill()
					t.Errorf("a start ended with %v", err)
					return
				}
				_, err = os.Stat(marker)
				mu.Lock()
				ends[failed.Stage]++
				marked = marked || err == nil
				stop := enough(marked)
				mu.Unlock()
				if stop {
					return
				}
			}
		})
	}
	hosts.Wait()
	cancel()
	attack.Wait()
	return ends, marked
}

// The plugin's file is replaced all the time, by renaming another over it and by
// writing to it in place. Whatever is started must be what was verified.
func TestVerificationHasNoWindow(t *testing.T) {
	notOnWindows(t, "a program that runs cannot be replaced")
	noLeaks(t)
	good, evil := buildVerified(t)
	sum := sha256.Sum256(good)

	// What the others would fail with: without a Verifier the evil one runs.
	_, marked := launchAll(t, nil, good, evil, 10000, func(marked bool) bool { return marked })
	if !marked {
		t.Fatal("the attack does not work at all")
	}

	ends, marked := launchAll(t, verify.SHA256(sum[:]), good, evil, *launches, func(marked bool) bool { return marked })
	if marked {
		t.Error("a program ran that was not verified")
	}
	t.Logf("%d launches: %v", *launches, ends)
	// Not each launch may be refused, nor each be lucky.
	if ends[host.StageHandshake] == 0 || ends[host.StageVerify] == 0 || len(ends) > 2 {
		t.Errorf("the starts ended at %v; want some when the good plugin has run, and some when verifying", ends)
	}
}

// However many descriptors the plugin inherits, none replaces that of the copy, which
// is executed.
func TestVerifiedPluginWithExtraFiles(t *testing.T) {
	notOnWindows(t, "Cmd.ExtraFiles is not supported")
	for _, n := range []int{0, 1, 8, 16, 24, 40} {
		noLeaks(t)
		cfg := fakeConfig(t, "reads-its-files")
		cfg.Verify = verify.SHA256(sumOf(t, cfg.Cmd.Path))
		// The copy is to get one of the lowest numbers.
		var low []*os.File
		for range 48 {
			f, err := os.Open(os.DevNull)
			if err != nil {
				t.Fatal(err)
			}
			low = append(low, f)
		}
		var want string
		for i := range n {
			f, err := os.Create(filepath.Join(t.TempDir(), "f"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			fmt.Fprintf(f, "%d,", i)
			want += fmt.Sprintf("%d,", i)
			f.Seek(0, io.SeekStart)
			cfg.Cmd.ExtraFiles = append(cfg.Cmd.ExtraFiles, f)
		}
		cfg.Env = append(cfg.Env, fmt.Sprintf("TN_FILES=%d", n))
		for _, f := range low {
			f.Close()
		}
		if failed := failing(t, cfg); string(failed.Stderr) != "read "+want {
			t.Errorf("%d extra files: %v", n, failed)
		}
	}
}

// A copy on a file system must not be open for writing in a process that
// another goroutine is about to start: it could not be executed then.
func TestPrivateCopyWhileOthersFork(t *testing.T) {
	notOnWindows(t, "nothing is forked")
	noLeaks(t)
	good, _ := buildVerified(t)
	ctx, cancel := context.WithCancel(t.Context())
	var others sync.WaitGroup
	for range 2 {
		others.Go(func() {
			for ctx.Err() == nil {
				exec.Command(filepath.Join(t.TempDir(), "none")).Start()
				exec.Command("/bin/true").Run()
			}
		})
	}
	for range 200 {
		path, done, err := host.CopyPrivate(t.Context(), bytes.NewReader(good), "plugin")
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != 0o500 {
			t.Errorf("the copy has the mode %v, %v", info.Mode(), err)
		}
		if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("its directory has the mode %v, %v", info.Mode(), err)
		}
		if err := exec.Command(path).Run(); err != nil {
			t.Fatalf("executing the copy: %v", err)
		}
		done()
		if exists(path) {
			t.Error("the copy is still there")
		}
	}
	cancel()
	others.Wait()
}

// advice is an error with a hint.
type advice string

func (a advice) Error() string { return "no" }
func (a advice) Hint() string  { return string(a) }

func TestVerifiersHints(t *testing.T) {
	for err, want := range map[error]string{
		errors.New("no"):                       "",
		advice("ask\x1b[2J us"):                `ask\x1b[2J us`,
		fmt.Errorf("no: %w", advice("ask us")): "ask us",
	} {
		cfg := verifying(func(*testing.T) host.Verifier {
			return func(context.Context, string, io.Reader) error { return err }
		})(t)
		if failed := failing(t, cfg); failed.Hint != want || !errors.Is(failed, err) {
			t.Errorf("%v: the hint is %q, want %q", failed, failed.Hint, want)
		}
	}
}

// A Verifier that waits for something does not outlast Start's time-out.
func TestVerificationEndsWithItsContext(t *testing.T) {
	noLeaks(t)
	cfg := fakeConfig(t, "silent")
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cfg.Verify = func(_ context.Context, _ string, r io.Reader) error {
		cancel(why)
		_, err := io.Copy(io.Discard, r)
		return err
	}
	_, err := host.Start(ctx, cfg)
	var failed *host.StartError
	if !errors.As(err, &failed) || failed.Stage != host.StageVerify || !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}

func TestVerifyIsForLaunchedFiles(t *testing.T) {
	cfg := fakeConfig(t, "silent")
	cfg.Cmd, cfg.Runner = nil, &proxiedRunner{}
	cfg.Verify = verify.SHA256(make([]byte, 32))
	if failed := failing(t, cfg); failed.Stage != host.StageConfig {
		t.Errorf("with a Runner: %v", failed)
	}
}

// verifying returns a configuration whose Verifier refuses the plugin.
func verifying(verifier func(t *testing.T) host.Verifier) func(*testing.T) *host.Config {
	return func(t *testing.T) *host.Config {
		c := file("plugin", 0o700, "#!/bin/sh\necho this must not run >&2\n")(t)
		c.Verify = verifier(t)
		return c
	}
}

// listed returns a verifier with a list of sums.
func listed(list string) func(t *testing.T) host.Verifier {
	return func(t *testing.T) host.Verifier {
		path := filepath.Join(t.TempDir(), "SHA256SUMS")
		if err := os.WriteFile(path, []byte(list), 0o600); err != nil {
			t.Fatal(err)
		}
		return verify.SumsFile(path)
	}
}

func lazy(*testing.T) host.Verifier {
	return func(_ context.Context, _ string, r io.Reader) error {
		_, err := r.Read(make([]byte, 4))
		return err
	}
}

func unsigned(t *testing.T) host.Verifier {
	return verify.Ed25519ph(make([]byte, ed25519.PublicKeySize), make([]byte, ed25519.SignatureSize))
}
