package host_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/host/verify"
)

// testLogger returns a logger that writes to the test's log.
func testLogger(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug - 4}))
}

// short is a time-out for plugins that use all of it.
const short = 200 * time.Millisecond

// startErrorCases are the ways in which a start can fail. Each has a golden
// file with the text that a user sees.
var startErrorCases = []struct {
	name   string
	stage  host.Stage
	config func(t *testing.T) *host.Config
}{
	{"binary-missing", host.StageLaunch, file("no-such-plugin", 0, "")},
	{"not-in-path", host.StageLaunch, func(t *testing.T) *host.Config {
		return &host.Config{Handshake: shake, Cmd: exec.Command("tenon-test-no-such-program")}
	}},
	{"not-executable", host.StageLaunch, file("plugin", 0o600, "#!/bin/sh\n")},
	{"is-a-directory", host.StageLaunch, func(t *testing.T) *host.Config {
		return &host.Config{Handshake: shake, Cmd: exec.Command(t.TempDir())}
	}},
	{"wrong-architecture", host.StageLaunch, file("plugin", 0o700, foreignELF())},
	{"windows-binary", host.StageLaunch, file("plugin.exe", 0o700, "MZ\x90\x00\x03\x00\x00\x00")},
	{"empty-file", host.StageLaunch, file("plugin", 0o700, "")},
	{"script-without-interpreter-line", host.StageLaunch, file("plugin", 0o700, "echo hello\n")},
	{"script-interpreter-missing", host.StageLaunch, file("plugin", 0o700, "#!/usr/bin/no-such-interpreter -e\n")},
	{"directory-missing", host.StageLaunch, func(t *testing.T) *host.Config {
		c := fakeConfig(t, "silent")
		c.Cmd.Dir = filepath.Join(t.TempDir(), "none")
		return c
	}},
	{"another-sum", host.StageVerify, verifying(func(*testing.T) host.Verifier { return verify.SHA256(make([]byte, 32)) })},
	{"not-listed", host.StageVerify, verifying(listed(strings.Repeat("0", 64) + "  another\n"))},
	{"another-listed-sum", host.StageVerify, verifying(listed(strings.Repeat("0", 64) + "  plugin\n"))},
	{"not-signed", host.StageVerify, verifying(unsigned)},
	{"lazy-verifier", host.StageVerify, verifying(lazy)},
	{"verified-file-missing", host.StageLaunch, func(t *testing.T) *host.Config {
		c := file("no-such-plugin", 0, "")(t)
		c.Verify = lazy(t)
		return c
	}},
	{"verified-file-not-executable", host.StageLaunch, func(t *testing.T) *host.Config {
		c := file("plugin", 0o600, "#!/bin/sh\n")(t)
		c.Verify = lazy(t)
		return c
	}},
	{"exits-at-once", host.StageHandshake, nil},
	{"exits-silently", host.StageHandshake, nil},
	{"panics-early", host.StageHandshake, nil},
	{"cookie-refused", host.StageHandshake, nil},
	{"killed-by-signal", host.StageHandshake, nil},
	{"closes-stdout", host.StageHandshake, nil},
	{"noise", host.StageHandshake, nil},
	{"terminal-noise", host.StageHandshake, nil},
	{"unfinished-noise", host.StageHandshake, nil},
	{"empty-line", host.StageHandshake, nil},
	{"silent", host.StageHandshake, timeout("silent")},
	{"unfinished-line", host.StageHandshake, timeout("unfinished-line")},
	{"unfinished-exit", host.StageHandshake, nil},
	{"endless-line", host.StageHandshake, nil},
	{"core-version", host.StageHandshake, nil},
	{"version-mismatch", host.StageCheck, func(t *testing.T) *host.Config {
		c := fakeConfig(t, "version-mismatch")
		c.Versions = map[int]plugin.Set{3: nil, 2: nil}
		return c
	}},
	{"unknown-network", host.StageHandshake, nil},
	{"unknown-protocol", host.StageHandshake, nil},
	{"nobody-listens", host.StageConnect, nil},
	{"path-too-long", host.StageCheck, nil},
	{"not-a-socket", host.StageConnect, nil},
	{"socket-directory-too-long", host.StagePrepare, func(t *testing.T) *host.Config {
		dir := filepath.Join(t.TempDir(), strings.Repeat("d", 90))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		cfg := fakeConfig(t, "silent")
		cfg.Sockets.TempDir = dir
		return cfg
	}},
	{"socket-directory-impossible", host.StagePrepare, func(t *testing.T) *host.Config {
		cfg := fakeConfig(t, "silent")
		cfg.Sockets.TempDir = filepath.Join(os.TempDir(), "none")
		return cfg
	}},
	{"socket-directory-unspeakable", host.StagePrepare, func(t *testing.T) *host.Config {
		cfg := fakeConfig(t, "silent")
		cfg.Sockets.TempDir = filepath.Join(t.TempDir(), "a|b")
		return cfg
	}},
	{"socket-directory-needed", host.StageHandshake, func(t *testing.T) *host.Config {
		t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "none"))
		return fakeConfig(t, "real")
	}},
	{"netrpc", host.StageHandshake, nil},
	{"netrpc-old", host.StageHandshake, nil},
	{"no-certificate", host.StageCheck, nil},
	{"unasked-certificate", host.StageCheck, func(t *testing.T) *host.Config {
		c := fakeConfig(t, "unasked-certificate")
		c.InsecurePlaintext = true
		return c
	}},
	{"bad-base64", host.StageHandshake, nil},
	{"bad-der", host.StageCheck, nil},
	{"multiplexing-unknown", host.StageCheck, multiplexed("multiplexing-unknown")},
	{"multiplexing-refused", host.StageCheck, multiplexed("multiplexing-refused")},
	{"multiplexing-unclear", host.StageCheck, multiplexed("multiplexing-unclear")},
	{"multiplexing-not-spoken", host.StageConnect, multiplexed("multiplexing-not-spoken")},
	{"never-answers", host.StageConnect, timeout("never-answers")},
	{"hangs-up", host.StageConnect, nil},
	{"ends-on-connect", host.StageConnect, nil},
	{"speaks-plaintext", host.StageConnect, nil},
	{"other-certificate", host.StageConnect, nil},
}

// stuckAt is what plugins that use up the time have printed by then.
var stuckAt = map[string]string{
	"unfinished-line": "1|1|unix|",
	"never-answers":   "|grpc|",
}

// timeout returns the configuration of a fake that uses up the time.
func timeout(name string) func(*testing.T) *host.Config {
	return func(t *testing.T) *host.Config {
		c := fakeConfig(t, name)
		c.StartTimeout = short
		return c
	}
}

// file returns a configuration that runs a file with that content; mode 0
// means that there is none.
func file(name string, mode os.FileMode, content string) func(*testing.T) *host.Config {
	return func(t *testing.T) *host.Config {
		path := filepath.Join(t.TempDir(), name)
		if runtime.GOOS == "windows" && filepath.Ext(name) == "" {
			path += ".exe"
		}
		if mode != 0 {
			if err := os.WriteFile(path, []byte(content), mode); err != nil {
				t.Fatal(err)
			}
		}
		return &host.Config{Handshake: shake, Cmd: exec.Command(path)}
	}
}

// foreignELF returns the beginning of a program for another machine.
func foreignELF() string {
	machine := "\xf3\x00" // RISC-V
	if runtime.GOARCH == "riscv64" {
		machine = "\x3e\x00" // x86-64
	}
	header := "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9) + "\x02\x00" + machine + "\x01\x00\x00\x00"
	return header + strings.Repeat("\x00", 64)
}

// unlikeWindows are the cases that differ on Windows, and why.
var unlikeWindows = map[string]string{
	"not-executable":                  noModes,
	"verified-file-not-executable":    noModes,
	"is-a-directory":                  "it is no program by its name",
	"script-without-interpreter-line": noScripts,
	"script-interpreter-missing":      noScripts,
	"empty-file":                      noScripts,
	"windows-binary":                  "that is the right one",
	"path-too-long":                   noUnixPlugins,
	"not-a-socket":                    noUnixPlugins,
	"nobody-listens":                  noUnixPlugins,
	"socket-directory-needed":         noUnixPlugins,
	"killed-by-signal":                "there are no signals",
	"another-listed-sum":              "its list has the name without .exe",
}

const (
	noModes       = "there are no modes that say what is a program"
	noScripts     = "the system's own words differ"
	noUnixPlugins = "plugins listen on TCP"
)

// wantHint compares only the hint: the rest is the system's own text.
func wantHint(t *testing.T, name, text string) {
	t.Helper()
	want, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	hint := func(text string) string {
		_, hint, _ := strings.Cut(text, "  hint: ")
		hint, _, _ = strings.Cut(hint, "\n")
		return hint
	}
	if hint(text) != hint(string(want)) {
		t.Errorf("the hint is %q, want %q, in:\n%s", hint(text), hint(string(want)), text)
	}
}

func TestStartErrors(t *testing.T) {
	for _, tc := range startErrorCases {
		t.Run(tc.name, func(t *testing.T) {
			if why, ok := unlikeWindows[tc.name]; ok {
				notOnWindows(t, why)
			}
			config := tc.config
			if config == nil {
				config = func(t *testing.T) *host.Config { return fakeConfig(t, tc.name) }
			}
			cfg := config(t)
			noLeaks(t)
			start := failing(t, cfg)
			// On a busy machine the plugin may take longer to reach the point where it
			// is stuck.
			stuck := func() bool {
				return start.Stage == tc.stage && strings.Contains(string(start.Stdout), stuckAt[tc.name])
			}
			for !stuck() && cfg.StartTimeout >= short && cfg.StartTimeout < ample {
				cfg.StartTimeout *= 2
				start = failing(t, cfg)
			}
			if start.Stage != tc.stage {
				t.Errorf("the stage is %q, not %q", start.Stage, tc.stage)
			}
			if got := errors.Is(start, host.ErrCookieRefused); got != (tc.name == "cookie-refused") {
				t.Errorf("errors.Is reports %v for ErrCookieRefused", got)
			}
			name, text := filepath.Join("starterrors", tc.name+".golden"), normal(t, start.Error(), start)
			if runtime.GOOS == "windows" {
				wantHint(t, name, text)
				return
			}
			golden(t, name, text)
		})
	}
}

var (
	dirPattern    = regexp.MustCompile(`tenon-[0-9a-z]+/p`)
	tempPattern   = regexp.MustCompile(`/[^" ]*/Test[^/"]*/\d+`)
	pinPattern    = regexp.MustCompile(`SHA-256 [0-9a-f]{64}, pinned [0-9a-f]{64}`)
	lengthPattern = regexp.MustCompile(`(has a name of) \d+ bytes`)
	timePattern   = regexp.MustCompile(`(the StartTimeout of) \S+`)
	certPattern   = regexp.MustCompile(`MII[A-Za-z0-9+/]{40,}(… \(\d+ bytes more\))?`)
)

// normal replaces what differs from run to run.
func normal(t *testing.T, text string, e *host.StartError) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "windows" {
		text = strings.ReplaceAll(text, `\\`, "/") // as %q has them
		text = strings.ReplaceAll(text, filepath.ToSlash(self), "PLUGIN")
		text = strings.ReplaceAll(text, filepath.ToSlash(os.TempDir()), "/tmp/tn0")
	}
	text = strings.ReplaceAll(text, self, "PLUGIN")
	if e.PID != 0 {
		text = strings.ReplaceAll(text, fmt.Sprintf("(pid %d)", e.PID), "(pid PID)")
	}
	text = tempPattern.ReplaceAllString(text, "TEMP")
	text = strings.ReplaceAll(text, os.TempDir(), "TMPDIR")
	text = dirPattern.ReplaceAllString(text, "tenon-N")
	text = lengthPattern.ReplaceAllString(text, "$1 N bytes")
	text = timePattern.ReplaceAllString(text, "$1 T")
	text = certPattern.ReplaceAllString(text, "CERTIFICATE")
	text = pinPattern.ReplaceAllString(text, "SHA-256 X, pinned Y")
	text = strings.ReplaceAll(text, runtime.GOOS+"/"+runtime.GOARCH, "GOOS/GOARCH")
	return text + "\n"
}

// golden compares text with a file below testdata.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("the text differs from %s (-update writes it anew)\ngot:\n%s\nwant:\n%s", path, text, want)
	}
}

func TestStartGivesUpWithItsContext(t *testing.T) {
	noLeaks(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the user pressed Ctrl-C")
	cfg := fakeConfig(t, "silent")
	cfg.Logger = slog.New(slog.DiscardHandler)
	go cancel(why)
	_, err := host.Start(ctx, cfg)
	if !errors.Is(err, why) {
		t.Fatalf("got %v, want the context's cause", err)
	}
}

// TestRelativePathThatIsNotThere: the hint says where it leads.
func TestRelativePathThatIsNotThere(t *testing.T) {
	noLeaks(t)
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	_, err = host.Start(t.Context(), &host.Config{Handshake: shake, Cmd: exec.Command("./plugins/none")})
	var e *host.StartError
	if want := strconv.Quote(filepath.Join(here, "plugins", "none")); !errors.As(err, &e) || !strings.Contains(e.Hint, want) {
		t.Errorf("the hint does not name %s: %v", want, err)
	}
}
