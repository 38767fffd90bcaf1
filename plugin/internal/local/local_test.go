package local_test

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/plugin/internal/local"
	"github.com/tenonrpc/tenon/plugin/internal/socktest"
)

func TestParse(t *testing.T) {
	const any, loopback = "[127.0.0.1:1 [::1]:1]", "[127.0.0.1:1]"
	for address, want := range map[string]string{
		":1":                   any,
		"[::]:1":               any,
		"localhost:1":          any,
		"0.0.0.0:1":            loopback,
		"[::ffff:0.0.0.0]:1":   loopback,
		"127.0.0.1:1":          loopback,
		"[::ffff:127.0.0.1]:1": loopback,
		"192.0.2.1:65535":      "[192.0.2.1:65535]",
		"[2001:db8::1]:1":      "[[2001:db8::1]:1]",
		"[fe80::1%lo]:1":       "[[fe80::1%lo]:1]",
	} {
		if got, err := local.Parse(address); err != nil || fmt.Sprint(got) != want {
			t.Errorf("%s: %v, %v; want %s", address, got, err, want)
		}
	}
	for _, name := range []string{"Localhost", "localhost.", "localhost.localdomain", "ip6-localhost", "127.1", "0x7f.1", "2130706433", " ", "a.example", strings.Repeat("a", 5000)} {
		got, err := local.Parse(name + ":1")
		if got != nil || !errors.Is(err, local.ErrName) || len(err.Error()) > 300 {
			t.Errorf("%.20q: %v, %v", name, got, err)
		}
	}
	for _, address := range []string{"", "1", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:http", "::1:1", "\x1b[2J"} {
		if got, err := local.Parse(address); got != nil || err == nil || errors.Is(err, local.ErrName) || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q: %v, %v", address, got, err)
		}
	}
}

func TestDial(t *testing.T) {
	unix := filepath.Join(t.TempDir(), "s")
	for network, listening := range map[string]string{"unix": unix, "tcp": "127.0.0.1:0"} {
		if network == "unix" && !socktest.HasUnix() {
			t.Run(network, func(t *testing.T) { t.Skip(socktest.NoUnix) })
			continue
		}
		l, err := net.Listen(network, listening)
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr().String()
		if network == "tcp" {
			_, port, _ := net.SplitHostPort(address)
			address = "localhost:" + port
		}
		conn, err := local.Dial(t.Context(), network, address)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		l.Close()
		// Nothing listens any more: the connection must be nil.
		if conn, err := local.Dial(t.Context(), network, address); err == nil || conn != nil {
			t.Errorf("%s: %v, %v", network, conn, err)
		}
	}
	if conn, err := local.Dial(t.Context(), "tcp", "a.example:1"); !errors.Is(err, local.ErrName) || conn != nil {
		t.Errorf("a name: %v, %v", conn, err)
	}
}
