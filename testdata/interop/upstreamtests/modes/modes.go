// Package modes names what go-plugin's tests ask of the plugins that they
// start, for the stand-in that answers in their place and for the tests that
// start it.
package modes

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Kind is how much of a plugin a mode is.
type Kind int

const (
	// Served is a plugin that serves gRPC.
	Served Kind = iota + 1
	// Line is no plugin: it prints a line, and what else the test looks for.
	Line
	// NetRPC is a plugin that serves net/rpc, which this library does not.
	NetRPC
)

// String returns the kind for the table.
func (k Kind) String() string {
	switch k {
	case Served:
		return "plugin.Serve, gRPC"
	case Line:
		return "prints a line"
	case NetRPC:
		return "net/rpc"
	}
	return fmt.Sprintf("kind %d", int(k))
}

// Mode is a mode of go-plugin's test binary.
type Mode struct {
	Name    string
	Kind    Kind
	Outcome string // what go-plugin's host makes of the stand-in
}

// All are the modes of go-plugin 1.8.0.
var All = []Mode{
	{"bad-version", Line, "announces version 11; refused"},
	{"invalid-rpc-address", Line, "prints no handshake; refused"},
	{"mock", Line, "announces an address where nobody listens; started"},
	{"start-timeout", Line, "prints nothing for a minute; given up"},
	{"stderr", Line, "two lines of text on stderr; both logged"},
	{"stderr-json", Line, "JSON that is no log line on stderr; logged as it is"},
	{"level-warn-text", Line, "a line with a level on stderr; logged at that level"},
	{"stdin", Line, "reads the host's stdin; ends with status 0"},
	{"cleanup", NetRPC, "not served"},
	{"test-grpc", Served, "calls, stdio, reattaching and a crash work"},
	{"test-grpc-tls", Served, "calls work over the application's own TLS"},
	{"test-interface", NetRPC, "not served"},
	{"test-interface-logger-netrpc", NetRPC, "not served"},
	{"test-interface-logger-grpc", Served, "log lines have level and attributes; a panic is one of errors"},
	{"test-interface-daemon", NetRPC, "not served"},
	{"test-interface-tls", NetRPC, "not served"},
	{"test-interface-mtls", NetRPC, "not served"},
	{"test-versioned-plugins", Served, "version 2 is agreed on; a host of version 1 refuses it"},
	{"test-proto-upgraded-plugin", Served, "a host of version 1 refuses it: there, go-plugin has net/rpc"},
	{"test-proto-upgraded-client", Served, "version 2 is agreed on; plaintext to TLS fails"},
	{"test-mtls", Served, "calls and the broker work with AutoMTLS"},
	{"test-skip-host-env-true", Line, "does not see the host's variable; ends with status 0"},
	{"test-skip-host-env-false", Line, "sees the host's variable; ends with status 0"},
	{"mux-grpc-with-old-plugin", Line, "says nothing of multiplexing; refused"},
	{"mux-grpc-with-unsupported-plugin", Line, "says no to multiplexing; refused"},
}

// Find returns the mode of that name.
func Find(name string) (Mode, bool) {
	for _, m := range All {
		if m.Name == name {
			return m, true
		}
	}
	return Mode{}, false
}

// Files that lie beside the stand-in. It does not find them by the
// environment, which a test may withhold from it.
const (
	RecordFile      = "record"   // what it did, see Record
	CAFile          = "ca.pem"   // certificates of the application's own TLS
	CertificateFile = "cert.pem" // the plugin's
	KeyFile         = "key.pem"
)

// Record notes beside the program that it does what the mode is for: prints its
// line, or has plugin.Serve register its services. The processes of a test may
// do so at once.
func Record(m Mode) error {
	f, err := os.OpenFile(filepath.Join(programDir(), RecordFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(m.Name + "\n"); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// TakeRecord returns the names of the modes that were recorded in dir since the
// last call, each once, in order.
func TakeRecord(dir string) ([]string, error) {
	name := filepath.Join(dir, RecordFile)
	b, err := os.ReadFile(name)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names := strings.Fields(string(b))
	slices.Sort(names)
	return slices.Compact(names), os.Remove(name)
}

func programDir() string {
	name, err := os.Executable()
	if err != nil {
		return "."
	}
	return filepath.Dir(name)
}
