package certs_test

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tenonrpc/tenon/plugin/certs"
	"github.com/tenonrpc/tenon/testdata/examples/kvmain"
)

func TestMain(m *testing.M) { os.Exit(kvmain.Run(m)) }

// must returns a value that a function of this package, or of the tests, has made.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// newCA returns an authority of that name.
func newCA(t testing.TB, name string) *certs.CA {
	t.Helper()
	return must(certs.NewCA(certs.Options{Name: name}))(t)
}

// newPeer returns a certificate for both roles.
func newPeer(t testing.TB, ca *certs.CA, names ...string) *certs.Pair {
	t.Helper()
	return must(ca.Peer(certs.Options{Names: names}))(t)
}

// place is a directory with one side's certificate and the authorities.
type place struct{ own, cas string }

// newPlace writes a certificate and authorities to a new directory.
func newPlace(t testing.TB, own *certs.Pair, cas ...*certs.CA) place {
	t.Helper()
	dir := t.TempDir()
	p := place{filepath.Join(dir, "own.pem"), filepath.Join(dir, "cas.pem")}
	p.put(t, own, cas...)
	return p
}

// put replaces the files.
func (p place) put(t testing.TB, own *certs.Pair, cas ...*certs.CA) {
	t.Helper()
	if err := own.Write(p.own, ""); err != nil {
		t.Fatal(err)
	}
	p.trust(t, cas...)
}

// trust replaces the file of authorities.
func (p place) trust(t testing.TB, cas ...*certs.CA) {
	t.Helper()
	var all bytes.Buffer
	for _, ca := range cas {
		all.Write(ca.CertificatePEM())
	}
	overwrite(t, p.cas, all.Bytes())
}

// overwrite writes a file in place, as an editor or a careless script does.
func overwrite(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// watch returns a Reloader for the files.
func (p place) watch(t testing.TB, log *journal) *certs.Reloader {
	t.Helper()
	cfg := certs.WatchConfig{Certificate: p.own, CAs: p.cas}
	if log != nil {
		cfg.Logger = log
	}
	return must(certs.Watch(cfg))(t)
}

// journal is a Logger that keeps what it is told.
type journal struct {
	mu    sync.Mutex
	lines []string // guarded by mu
}

func (j *journal) Info(msg string, args ...any) { j.add("info", msg, args) }
func (j *journal) Warn(msg string, args ...any) { j.add("warn", msg, args) }

func (j *journal) add(level, msg string, args []any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintln(append([]any{level, msg}, args...)...))
}

// take returns the lines so far that contain a text, and forgets all.
func (j *journal) take(text string) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	found := slices.DeleteFunc(j.lines, func(line string) bool { return !strings.Contains(line, text) })
	j.lines = nil
	return found
}

// certsOf returns the certificates of authorities.
func certsOf(cas []*certs.CA) (all []*x509.Certificate) {
	for _, ca := range cas {
		all = append(all, ca.Leaf)
	}
	return all
}
