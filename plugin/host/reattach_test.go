package host_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
)

// detachable returns a configuration for a plugin that may be let go.
func detachable(t *testing.T, name string) *host.Config {
	t.Helper()
	cfg := fakeConfig(t, name)
	cfg.Detach = true
	cfg.Plugins = plugin.Set{"echo": echo{}}
	return cfg
}

// attaching returns a configuration that attaches to a plugin.
func attaching(t *testing.T, r *host.Reattach) *host.Config {
	t.Helper()
	cfg := fakeConfig(t, "")
	cfg.Cmd, cfg.Env = nil, nil
	cfg.Reattach = r
	cfg.Plugins = plugin.Set{"echo": echo{}}
	return cfg
}

// letGo starts a plugin and lets it go. It ends with the test at the latest.
func letGo(t *testing.T, cfg *host.Config) *host.Reattach {
	t.Helper()
	c, err := host.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.ReattachWithKey()
	if err != nil {
		c.Kill()
		t.Fatal(err)
	}
	endsWithTest(t, r.PID)
	if err := c.Detach(); err != nil {
		t.Error(err)
	}
	select {
	case <-c.Done():
	default:
		t.Error("Done is not closed after Detach")
	}
	if c.Err() != nil || c.ExitStatus().Ended {
		t.Errorf("Err %v, exit status %v after Detach", c.Err(), c.ExitStatus())
	}
	// They may be deferred. The plugin lives on, as those who attach to it see.
	for range 16 {
		if err := c.Close(); err != nil {
			t.Errorf("Close after Detach: %v", err)
		}
	}
	c.Kill()
	return r
}

// endsWithTest kills a child of this process when the test ends, if it is still
// there.
func endsWithTest(t *testing.T, pid int) {
	t.Helper()
	p, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Kill(); p.Release() })
}

// viaFile returns the record after writing it to a file and reading it.
func viaFile(t *testing.T, r *host.Reattach) *host.Reattach {
	t.Helper()
	path := filepath.Join(t.TempDir(), "record")
	for range 2 { // the second replaces the first
		if err := host.WriteReattach(path, r); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("the record's file has mode %v", info.Mode())
	}
	read, err := host.ReadReattach(path)
	if err != nil {
		t.Fatal(err)
	}
	return read
}

func TestReattach(t *testing.T) {
	for name, change := range map[string]func(*host.Config){
		"plaintext": func(c *host.Config) { c.InsecurePlaintext = true },
		"P-256":     func(*host.Config) {},
		"P-521":     func(c *host.Config) { c.Curve = host.P521 },
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			cfg := detachable(t, "real")
			change(cfg)
			r := letGo(t, cfg)
			// Any number of hosts, one after the other.
			for range 3 {
				stdout := newSink()
				cfg := attaching(t, viaFile(t, r))
				change(cfg)
				cfg.Output.Stdout = stdout
				c := start(t, cfg)
				if c.PID() != r.PID || c.Version() != 1 {
					t.Errorf("pid %d, version %d", c.PID(), c.Version())
				}
				client, err := host.Dispense[*echoClient](t.Context(), c, "echo")
				if err != nil {
					t.Fatal(err)
				}
				if got, err := client.call(t.Context(), echoMethod, "hello"); err != nil || got != "1 hello" {
					t.Errorf("got %q, %v", got, err)
				}
				if got := <-stdout.writes; got != "stdout: hello\n" {
					t.Errorf("%q arrived on stdout", got)
				}
				usesBroker(t, c)
				if again, err := c.ReattachWithKey(); err != nil || again.PID != r.PID || len(again.HostKey) != len(r.HostKey) {
					t.Errorf("the record of the record is %v, %v", again, err)
				}
				if err := c.Detach(); err != nil {
					t.Error(err)
				}
			}
			cfg = attaching(t, r)
			change(cfg)
			c := start(t, cfg)
			closes(t, c)
			if want := (host.ExitStatus{Ended: true, Code: -1}); c.ExitStatus() != want {
				t.Errorf("exit status %v, want %v", c.ExitStatus(), want)
			}
			// It has ended; its record is useless.
			if start := failing(t, cfg); start.Stage != host.StageAttach || !errors.Is(start, host.ErrNotRunning) {
				t.Errorf("got %v", start)
			}
		})
	}
}

func TestAttachedPluginsEnd(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells which process it is")
	}
	t.Run("by itself", func(t *testing.T) {
		noLeaks(t)
		r := letGo(t, detachable(t, "good"))
		c := start(t, attaching(t, r))
		_, err := do(t.Context(), c, "exit")
		var exit *host.ExitError
		if !errors.As(err, &exit) || exit.PID != r.PID {
			t.Errorf("the call's error does not say that the plugin ended: %v", err)
		}
		<-c.Done()
		if c.Err() == nil || !strings.Contains(c.Err().Error(), "ended unexpectedly: exit status unknown") {
			t.Errorf("Err: %v", c.Err())
		}
	})
	t.Run("by SIGTERM", func(t *testing.T) {
		noLeaks(t)
		c := start(t, attaching(t, letGo(t, detachable(t, "no-shutdown"))))
		closes(t, c)
	})
	t.Run("by SIGKILL", func(t *testing.T) {
		noLeaks(t)
		cfg := attaching(t, letGo(t, detachable(t, "deaf")))
		cfg.StopTimeout = short
		c := start(t, cfg)
		if err := c.Close(); !errors.Is(err, host.ErrKilled) || !c.ExitStatus().Ended {
			t.Errorf("got %v, %v", err, c.ExitStatus())
		}
	})
	t.Run("by Kill", func(t *testing.T) {
		noLeaks(t)
		c := start(t, attaching(t, letGo(t, detachable(t, "deaf"))))
		c.Kill()
		if !c.ExitStatus().Ended {
			t.Error("it lives on")
		}
	})
}

// TestStrangersAreNotKilled has records that do not prove which process has the id.
func TestStrangersAreNotKilled(t *testing.T) {
	noLeaks(t)
	known := letGo(t, detachable(t, "deaf"))
	for name, change := range map[string]func(*host.Reattach){
		"no start time": func(r *host.Reattach) { r.StartTime = 0 },
		"no boot":       func(r *host.Reattach) { r.BootID = "" },
	} {
		r := *known
		change(&r)
		for ending, end := range map[string]func(*host.Client){
			"Close": func(c *host.Client) {
				if err := c.Close(); !errors.Is(err, host.ErrNotKilled) {
					t.Errorf("%s: Close: %v", name, err)
				}
			},
			"Kill": func(c *host.Client) { c.Kill() },
		} {
			cfg := attaching(t, &r)
			cfg.StopTimeout = short
			c := start(t, cfg)
			end(c)
			<-c.Done()
			if c.ExitStatus().Ended {
				t.Errorf("%s, %s: the plugin has ended", name, ending)
			}
		}
	}
	// It still lives, and can be attached to and killed with the full record.
	c := start(t, attaching(t, known))
	if got, err := do(t.Context(), c, "echo hello"); err != nil || got != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
	if runtime.GOOS == "linux" {
		c.Kill()
		if !c.ExitStatus().Ended {
			t.Error("it was not killed")
		}
	}
}

func TestRecordsOfOtherProcesses(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells which process it is")
	}
	noLeaks(t)
	r := letGo(t, detachable(t, "good"))
	for name, change := range map[string]func(*host.Reattach){
		"earlier":      func(r *host.Reattach) { r.StartTime-- },
		"another boot": func(r *host.Reattach) { r.BootID = strings.Repeat("0", 36) },
		"another id":   func(r *host.Reattach) { r.PID = os.Getpid() },
		"no process":   func(r *host.Reattach) { r.PID = 1<<31 - 1 },
	} {
		other := *r
		change(&other)
		start := failing(t, attaching(t, &other))
		if start.Stage != host.StageAttach || !errors.Is(start, host.ErrNotRunning) {
			t.Errorf("%s: got %v", name, start)
		}
	}
	// A failure leaves the plugin as it is.
	other := *r
	other.Address = filepath.Join(os.TempDir(), "nothing")
	start := failing(t, attaching(t, &other))
	if text := start.Error(); start.Stage != host.StageConnect || !strings.Contains(text, "attaching to the plugin") || strings.Contains(text, "stdout") {
		t.Errorf("got %v", start)
	}
	c, err := host.Start(t.Context(), attaching(t, r))
	if err != nil {
		t.Fatal(err)
	}
	closes(t, c)
}

func TestPluginsOfTestsAreNotEnded(t *testing.T) {
	noLeaks(t)
	r := letGo(t, detachable(t, "good"))
	r.Test = true
	for name, end := range map[string]func(*host.Client) error{
		"Close":    (*host.Client).Close,
		"Shutdown": func(c *host.Client) error { return c.Shutdown(t.Context()) },
		"Kill":     func(c *host.Client) error { c.Kill(); return nil },
	} {
		c := start(t, attaching(t, r))
		if err := end(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		<-c.Done()
		if c.ExitStatus().Ended {
			t.Fatalf("%s has ended the plugin", name)
		}
	}
	r.Test = false
	closes(t, start(t, attaching(t, r)))
}

func TestReattachNeedsWhatWasAgreedOn(t *testing.T) {
	noLeaks(t)
	secured := letGo(t, detachable(t, "real"))
	plainCfg := detachable(t, "real")
	plainCfg.InsecurePlaintext = true
	plain := letGo(t, plainCfg)
	if len(plain.Certificate)+len(plain.HostKey) != 0 || len(secured.Certificate) == 0 || len(secured.HostKey) == 0 {
		t.Error("the records do not say what secures the connections")
	}
	other := letGo(t, detachable(t, "real"))
	if string(other.HostKey) == string(secured.HostKey) {
		t.Error("two plugins know the host by the same key")
	}
	keyless := *secured
	keyless.HostCertificate, keyless.HostKey = nil, nil
	for name, tc := range map[string]struct {
		record host.Reattach
		change func(*host.Config)
		stage  host.Stage
		text   string
	}{
		"no key":                     {keyless, nil, host.StageCheck, "lacks the key"},
		"plaintext against AutoMTLS": {*secured, func(c *host.Config) { c.InsecurePlaintext = true }, host.StageCheck, "none was asked for"},
		"AutoMTLS against plaintext": {*plain, nil, host.StageCheck, "no certificate"},
		"another version":            {*secured, func(c *host.Config) { c.ProtocolVersion = 9 }, host.StageCheck, "this host 9"},
		"Multiplex":                  {*secured, func(c *host.Config) { c.Multiplex = true }, host.StageConfig, "multiplexes"},
		"Detach":                     {*secured, func(c *host.Config) { c.Detach = true }, host.StageConfig, "how to launch"},
		"a Cmd":                      {*secured, func(c *host.Config) { c.Cmd = plainCfg.Cmd }, host.StageConfig, "exclude"},
	} {
		cfg := attaching(t, &tc.record)
		if tc.change != nil {
			tc.change(cfg)
		}
		if start := failing(t, cfg); start.Stage != tc.stage || !strings.Contains(start.Error(), tc.text) {
			t.Errorf("%s: got %v", name, start)
		}
	}
	mixed := *secured
	mixed.HostCertificate = other.HostCertificate
	if start := failing(t, attaching(t, &mixed)); start.Stage != host.StageCheck {
		t.Errorf("the key of another: got %v", start)
	}
	mixed.HostKey = other.HostKey
	if start := failing(t, attaching(t, &mixed)); start.Stage != host.StageConnect {
		t.Errorf("another host's pair: got %v", start)
	}
	mixed = *secured
	mixed.Certificate = other.Certificate
	if start := failing(t, attaching(t, &mixed)); start.Stage != host.StageConnect {
		t.Errorf("another plugin's certificate: got %v", start)
	}
	mixed = *secured
	mixed.Multiplexed = true
	if start := failing(t, attaching(t, &mixed)); start.Stage != host.StageConfig {
		t.Errorf("a multiplexed record: got %v", start)
	}
	for _, r := range []*host.Reattach{secured, plain, other} {
		cfg := attaching(t, r)
		cfg.InsecurePlaintext = r == plain
		c, err := host.Start(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		closes(t, c)
	}
}

func TestRecordsThatAreNotGiven(t *testing.T) {
	noLeaks(t)
	refuses := func(name string, cfg *host.Config, record func(*host.Client) (*host.Reattach, error), text string) {
		t.Helper()
		c := start(t, cfg)
		defer closes(t, c)
		if r, err := record(c); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: got %v, %v", name, r, err)
		}
		if err := c.Detach(); err == nil {
			t.Errorf("%s: it can be let go", name)
		}
	}
	refuses("a Runner", runnerConfig(t, "real", new(runner)), (*host.Client).Reattach, "Runner")
	mux := fakeConfig(t, "real")
	mux.Multiplex = true
	refuses("Multiplex", mux, (*host.Client).Reattach, "one connection only")

	c := start(t, fakeConfig(t, "real"))
	r, err := c.Reattach()
	if err != nil || len(r.HostKey) != 0 || len(r.Certificate) == 0 || r.PID != c.PID() {
		t.Errorf("the record without the key is %v, %v", r, err)
	}
	closes(t, c)
	if _, err := c.Reattach(); !errors.Is(err, host.ErrNotRunning) {
		t.Errorf("the record of a plugin that has ended: %v", err)
	}
}

func TestReattachFiles(t *testing.T) {
	key := host.Reattach{
		Protocol: "grpc", PID: 1, Network: "unix", Address: "/s",
		HostKey: []byte("secret"), HostCertificate: []byte("certificate"),
	}
	bare := key
	bare.HostCertificate, bare.HostKey = nil, nil
	for name, tc := range map[string]struct {
		record host.Reattach
		mode   os.FileMode
		text   string
	}{
		"as written":              {key, 0o600, ""},
		"the key readable":        {key, 0o640, "private key"},
		"the key readable by all": {key, 0o604, "private key"},
		"without a key, readable": {bare, 0o644, ""},
		"without a key, writable": {bare, 0o660, "others can write to it"},
		"without a key, open":     {bare, 0o602, "others can write to it"},
		"with a key, read-only":   {key, 0o400, ""},
	} {
		path := filepath.Join(t.TempDir(), "record")
		if err := host.WriteReattach(path, &tc.record); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, tc.mode); err != nil {
			t.Fatal(err)
		}
		r, err := host.ReadReattach(path)
		switch {
		case tc.text == "" || runtime.GOOS == "windows":
			if err != nil || string(r.HostKey) != string(tc.record.HostKey) {
				t.Errorf("%s: got %v, %v", name, r, err)
			}
		case err == nil || !strings.Contains(err.Error(), tc.text) || strings.Contains(err.Error(), "secret"):
			t.Errorf("%s: got %v", name, err)
		}
		if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
			t.Errorf("%s: files are left: %v", name, entries)
		}
	}
	dir := t.TempDir()
	if err := host.WriteReattach(filepath.Join(dir, "missing", "record"), &key); err == nil {
		t.Error("a record was written to a directory that is not there")
	}
	if _, err := host.ReadReattach(dir); err == nil {
		t.Error("a directory is a record")
	}
	if err := os.WriteFile(filepath.Join(dir, "large"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := host.ReadReattach(filepath.Join(dir, "large")); !errors.Is(err, host.ErrReattachLimit) {
		t.Errorf("a large file: %v", err)
	}
}

// TestProviders attaches by Terraform's variable, which has neither certificates nor
// start times.
func TestProviders(t *testing.T) {
	noLeaks(t)
	cfg := detachable(t, "real")
	cfg.InsecurePlaintext = true
	r := letGo(t, cfg)
	const name = "registry.example.com/acme/echo"
	value, err := host.FormatProviders(map[string]*host.Reattach{name: r})
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf(`"Pid":%d,"Test":false,"Addr":{"Network":%q,"String":%q}`, r.PID, r.Network, r.Address); !strings.Contains(value, want) {
		t.Errorf("%s is not in %s", want, value)
	}
	records, err := host.ParseProviders(value)
	if err != nil || len(records) != 1 {
		t.Fatalf("got %v, %v", records, err)
	}
	// The writers of old versions do not write a version.
	records[name].ProtocolVersion = 0
	cfg = attaching(t, records[name])
	cfg.InsecurePlaintext = true
	c := start(t, cfg)
	if err := c.Ping(t.Context()); err != nil || c.Version() != 1 {
		t.Errorf("version %d, %v", c.Version(), err)
	}
	closes(t, c)

	r.Certificate = []byte("certificate")
	if _, err := host.FormatProviders(map[string]*host.Reattach{name: r}); err == nil {
		t.Error("the variable tells of a plugin with TLS")
	}
	if _, err := host.ParseProviders("{"); !errors.Is(err, host.ErrReattachJSON) {
		t.Errorf("got %v", err)
	}
}
