package peercred_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/tenonrpc/tenon/plugin/internal/peercred"
)

// policies are policies, and whether they allow this process.
var policies = map[string]struct {
	policy  *peercred.Policy
	allowed bool
}{
	"nil":                 {nil, true},
	"own user":            {&peercred.Policy{UIDs: []int{1 << 20, os.Geteuid()}}, true},
	"other users":         {&peercred.Policy{UIDs: []int{os.Geteuid() + 1, -1}}, false},
	"nobody":              {&peercred.Policy{}, false},
	"own user, found out": {&peercred.Policy{UIDs: []int{-1}, MoreUID: func() (int, bool) { return os.Geteuid(), true }}, true},
	"nobody found out":    {&peercred.Policy{UIDs: []int{-1}, MoreUID: func() (int, bool) { return os.Geteuid(), false }}, false},
	"another found out":   {&peercred.Policy{MoreUID: func() (int, bool) { return os.Geteuid() + 1, true }}, false},
	"own process":         {&peercred.Policy{UIDs: []int{os.Geteuid()}, PID: func(pid int) bool { return pid == os.Getpid() }}, true},
	"another process":     {&peercred.Policy{UIDs: []int{os.Geteuid()}, PID: func(pid int) bool { return pid != os.Getpid() }}, false},
	"another's own user":  {&peercred.Policy{UIDs: []int{os.Geteuid() + 1}, PID: func(int) bool { return true }}, false},
}

func TestPolicies(t *testing.T) {
	for name, tc := range policies {
		l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
		if err != nil {
			t.Fatal(err)
		}
		var refused []error
		checked := tc.policy.Listener(l, func(err error) { refused = append(refused, err) })
		accepted := make(chan net.Conn, 1)
		go func() {
			conn, err := checked.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- conn
		}()
		// Each refused connection is closed, once.
		const tries = 40
		for range tries {
			conn, err := net.Dial("unix", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			if !tc.allowed {
				if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
					t.Errorf("%s: read %d bytes, %v", name, n, err)
				}
			}
			conn.Close()
			if tc.allowed {
				break
			}
		}
		// In the other direction this process is the one that listens.
		conn, err := tc.policy.Dialer(new(net.Dialer).DialContext)(context.Background(), "unix", l.Addr().String())
		if (err == nil) != tc.allowed || err != nil && !errors.Is(err, peercred.ErrStranger) {
			t.Errorf("%s: dialling: %v", name, err)
		}
		if err == nil {
			conn.Close()
		}
		if !tc.allowed {
			l.Close()
		}
		if conn, ok := <-accepted; ok != tc.allowed {
			t.Errorf("%s: accepted is %v", name, ok)
		} else if ok {
			conn.Close()
		}
		l.Close()
		if !tc.allowed && (len(refused) < tries || !errors.Is(refused[0], peercred.ErrStranger)) {
			t.Errorf("%s: %d reports", name, len(refused))
		}
	}
}

// Only unix sockets have credentials.
func TestOtherConnectionsAreNotJudged(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if err := (&peercred.Policy{}).Check(a); err != nil {
		t.Error(err)
	}
}
