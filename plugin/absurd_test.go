//go:build unix

package plugin_test

import (
	"encoding/base64"
	"io"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/wire"
)

// pemOf returns a block of PEM.
func pemOf(kind, content string) string {
	return "-----BEGIN " + kind + "-----\n" + base64.StdEncoding.EncodeToString([]byte(content)) + "\n-----END " + kind + "-----\n"
}

// Every variable of a host's environment can have a nonsensical value. The plugin then
// ends with one line that names the variable, before it writes anything to stdout, or
// works without that variable. It never serves with less security than it was asked for.
func TestAbsurdEnvironments(t *testing.T) {
	long := strings.Repeat("9", 100_000)
	refused := map[string][]string{
		wire.EnvMinPort:          {"-1", "65536", "0x10", "ten", long, "1e3", " 1"},
		wire.EnvMaxPort:          {"-1", "65536", "99999999999999999999", long, "\x1b[31m"},
		wire.EnvProtocolVersions: {"x", ",", "-1", long, strings.Repeat("1,", 50_000), "9999999999999999999999"},
		wire.EnvClientCert: {
			"x", long, pemOf("CERTIFICATE", ""), pemOf("CERTIFICATE", "hello"), pemOf("PRIVATE KEY", "hello"),
			pemOf("CERTIFICATE", strings.Repeat("\x30\x80", 10_000)), pemOf("CERTIFICATE", "\x30\x84\xff\xff\xff\xff"),
			"-----BEGIN CERTIFICATE-----\n",
		},
		wire.EnvUnixSocketDir: {"/" + long, "/no/such/directory", "/dev/null", "/tmp/\n", "/tmp/a|b", "/proc/self", "/none\u009b2J\u202e\u2028"},
		// A number that no group has, and values that are neither a number nor a name.
		wire.EnvUnixSocketGroup: {"no-such-group", "-1", "99999999999", long, "a\x1bb", "4294967296"},
		wire.EnvLifeline:        {long},
		wire.EnvMultiplex:       {long, "maybe", "-1", "TRUE!", "2"},
		wire.EnvStdout:          {long},
		wire.EnvStderr:          {long},
	}
	for _, name := range wire.EnvNames() {
		if len(refused[name]) == 0 {
			t.Errorf("there is no nonsense for %s", name)
		}
	}
	for name, values := range refused {
		for _, value := range values {
			c := launch(t, "plugin", cookie, name+"="+value)
			stdout, err := io.ReadAll(c.stdout)
			c.wantEnd(1)
			switch {
			case err != nil || len(stdout) > 0:
				t.Errorf("%s=%.40q: stdout: %.200q, %v", name, value, stdout, err)
			case !strings.HasPrefix(c.stderr, "plugin: ") || !strings.Contains(c.stderr, name) && !strings.Contains(c.stderr, "directory"):
				t.Errorf("%s=%.40q: stderr: %.400q", name, value, c.stderr)
			case strings.Count(c.stderr, "\n") != 1 || len(c.stderr) > 2000 || strings.ContainsAny(c.stderr, "\x1b\u009b\u202e\u2028"):
				t.Errorf("%s=%.40q: stderr is not one short line: %.400q", name, value, c.stderr)
			}
		}
	}
	// These are no reason to refuse to serve: the host gets the output over the
	// connection.
	for _, value := range []string{"x", "0:0:0", "1:1:1", "999999999:1:1", "3:3"} {
		c := start(t, "plugin", wire.EnvStdout+"="+value, wire.EnvStderr+"="+value)
		c.tell("print hello")
		c.shutdown()
		c.wantEnd(0)
		if strings.Contains(c.stderr, "panic") || !strings.Contains(c.stderr, "cannot be used") {
			t.Errorf("pipes of %q: stderr: %q", value, c.stderr)
		}
	}
	// Nor are these: the plugin has other ways to detect the host's end.
	for _, value := range []string{"x", "-1:-1:-1", "0:0:0", "1:1:1", "999999999:1:1", "18446744073709551616:1:1", "3:3"} {
		c := start(t, "plugin", wire.EnvLifeline+"="+value)
		c.shutdown()
		c.wantEnd(0)
		if strings.Contains(c.stderr, "panic") || !strings.Contains(c.stderr, "lifeline") {
			t.Errorf("a lifeline of %q: stderr: %q", value, c.stderr)
		}
	}
}
