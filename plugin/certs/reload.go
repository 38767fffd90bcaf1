package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Logger receives what no caller is told. *slog.Logger, hclog.Logger and plugin.Logger
// are Loggers. Its methods may be called concurrently.
type Logger interface {
	Info(msg string, args ...any)
	Warn(msg string, args ...any)
}

// WatchConfig says which files to watch, and how.
type WatchConfig struct {
	// Certificate is the file with this side's certificate, and Key the one with its
	// private key. If Key is empty, the key is in the file Certificate, which can then
	// be replaced in one step.
	Certificate, Key string
	// CAs is the file with the authorities that the other side's certificate may be
	// signed by: two, while an authority is replaced by another one.
	CAs string
	// Interval is how often the files are looked at, at most. Zero means 10 seconds; a
	// negative value means only by Reload.
	Interval time.Duration
	// Warning is how long before the end of a certificate Logger is warned, once a day.
	// Zero means 30 days, but not more than the last third of its validity; a negative
	// value means never.
	Warning time.Duration
	// Logger is told when files were loaded anew, when that failed, and when a
	// certificate ends soon. It is called during a handshake, which waits for it. Nil
	// means that nothing is logged: see Reloader.Err and Reloader.Expires.
	Logger Logger
}

// Reloader holds certificates, and loads them anew when their files have changed. It has
// no goroutine: the files are looked at by handshakes, and by Reload. Its methods may be
// called concurrently, and on configurations in use.
type Reloader struct {
	cfg   WatchConfig
	paths []string // of Certificate, Key and CAs, each once
	state atomic.Pointer[state]

	// mu is held while files are read. A handshake that finds it locked goes on with
	// what is there.
	mu     sync.Mutex
	files  []*file           // guarded by mu: the last ones read, good or bad
	err    error             // guarded by mu: what was wrong with them
	looked time.Time         // guarded by mu: when
	warned map[string]string // guarded by mu: the day of the last warning, by certificate
}

// state is what was loaded. It is never changed.
type state struct {
	own  tls.Certificate
	cas  []*x509.Certificate
	pool *x509.CertPool
}

// Watch loads the files, and returns a Reloader for them. It fails if a file cannot be
// used, as Load does, or if this side's certificate is not valid now.
func Watch(cfg WatchConfig) (*Reloader, error) {
	if cfg.Certificate == "" || cfg.CAs == "" {
		return nil, errors.New("certs: WatchConfig.Certificate and CAs must both be set")
	}
	if cfg.Key == "" {
		cfg.Key = cfg.Certificate
	}
	if cfg.Interval == 0 {
		cfg.Interval = defaultInterval
	}
	r := &Reloader{cfg: cfg, paths: []string{cfg.Certificate, cfg.CAs}, warned: make(map[string]string)}
	if cfg.Key != cfg.Certificate {
		r.paths = append(r.paths, cfg.Key)
	}
	if err := r.Reload(); err != nil {
		return nil, err
	}
	return r, nil
}

// Reload reads the files now, whatever the interval. If they cannot be used, what was
// loaded before stays in use.
func (r *Reloader) Reload() error {
	r.mu.Lock()
	notes := r.look(true)
	err := r.err
	r.mu.Unlock()
	r.tell(notes)
	return err
}

// Err returns why the files, as they were found last, cannot be used, or nil if they are
// in use. It does not look at them.
func (r *Reloader) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Expires returns when the first of the certificates that are in use ends, and which:
// this side's, one of those that it is sent with, or an authority's. It does not look at
// the files.
func (r *Reloader) Expires() (*x509.Certificate, time.Time) {
	s := r.state.Load()
	first := s.own.Leaf
	for _, c := range s.all() {
		if c.NotAfter.Before(first.NotAfter) {
			first = c
		}
	}
	return first, first.NotAfter
}

// all returns all certificates that matter.
func (s *state) all() []*x509.Certificate {
	all := []*x509.Certificate{s.own.Leaf}
	for _, der := range s.own.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil { // they were parsed before
			all = append(all, c)
		}
	}
	return append(all, s.cas...)
}

// current returns what a handshake uses, and looks at the files first if it is time.
func (r *Reloader) current() *state {
	if r.cfg.Interval > 0 && r.mu.TryLock() {
		var notes []note
		if time.Since(r.looked) >= r.cfg.Interval {
			notes = r.look(false)
		}
		r.mu.Unlock()
		r.tell(notes)
	}
	return r.state.Load()
}

// A note is for the Logger.
type note struct {
	warn bool
	msg  string
	args []any
}

// tell logs, without a lock.
func (r *Reloader) tell(notes []note) {
	for _, n := range notes {
		switch {
		case r.cfg.Logger == nil:
		case n.warn:
			r.cfg.Logger.Warn(n.msg, n.args...)
		default:
			r.cfg.Logger.Info(n.msg, n.args...)
		}
	}
}

// look loads the files if they have changed, or in any case. r.mu is held.
func (r *Reloader) look(always bool) []note {
	now := time.Now()
	var notes []note
	if always || r.changed() {
		had, last := r.state.Load(), r.err
		fresh, err := r.load(now)
		r.err = err
		switch {
		case err != nil && had != nil && !same(last, err):
			notes = append(notes, note{true, "the certificates in the files cannot be used; those that were loaded before stay in use", []any{"err", err}})
		case err != nil:
		case had == nil || !had.equal(fresh):
			r.state.Store(fresh)
			clear(r.warned)
			if had != nil {
				notes = append(notes, note{false, "certificates were loaded anew", []any{"certificate", called(fresh.own.Leaf), "until", stamp(fresh.own.Leaf.NotAfter)}})
			}
		}
	}
	r.looked = now
	return r.warn(now, notes)
}

// same reports whether two errors are one to an operator. The texts of some have the time.
func same(last, err error) bool {
	for _, kind := range []error{ErrExpired, ErrNotYetValid} {
		if errors.Is(last, kind) && errors.Is(err, kind) {
			return true
		}
	}
	return last != nil && last.Error() == err.Error()
}

// changed reports whether a file is another one than was read, or may be: a file that
// was written a moment ago can be written again without showing it. A file that cannot be
// looked at counts as changed; reading it has the reason.
func (r *Reloader) changed() bool {
	if len(r.files) != len(r.paths) {
		return true
	}
	for _, was := range r.files {
		info, err := os.Stat(was.path)
		if err != nil || !os.SameFile(info, was.info) || !info.ModTime().Equal(was.info.ModTime()) || info.Size() != was.info.Size() {
			return true
		}
		if r.looked.Sub(info.ModTime()) < settleTime {
			return true
		}
	}
	return false
}

// load reads all files. r.mu is held.
func (r *Reloader) load(now time.Time) (*state, error) {
	r.files = nil
	byPath := make(map[string]*file)
	for _, path := range r.paths {
		f, err := read(path, path == r.cfg.Key)
		if err != nil {
			return nil, err
		}
		r.files = append(r.files, f)
		byPath[path] = f
	}
	own, err := parsePair(byPath[r.cfg.Certificate], byPath[r.cfg.Key])
	if err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	if err := checkTime(own.Leaf, now); err != nil {
		return nil, fmt.Errorf("certs: %q: %w", r.cfg.Certificate, err)
	}
	cas, err := byPath[r.cfg.CAs].certificates()
	if err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	pool := x509.NewCertPool()
	for i, ca := range cas {
		if ca.BasicConstraintsValid && !ca.IsCA {
			return nil, fmt.Errorf("certs: %q: certificate %d, %s, is no authority; the file must hold authorities alone", r.cfg.CAs, i+1, called(ca))
		}
		pool.AddCert(ca)
	}
	for _, f := range r.files {
		f.data = nil // one of them holds the key
	}
	return &state{own.TLS(), cas, pool}, nil
}

// equal reports whether two states hold the same certificates.
func (s *state) equal(other *state) bool {
	a, b := s.all(), other.all()
	if len(a) != len(b) || len(s.cas) != len(other.cas) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i].Raw, b[i].Raw) {
			return false
		}
	}
	return true
}

// warn adds a warning for each certificate that ends soon, once a day. r.mu is held.
func (r *Reloader) warn(now time.Time, notes []note) []note {
	s := r.state.Load()
	if s == nil || r.cfg.Warning < 0 {
		return notes
	}
	for _, c := range s.all() {
		ahead := r.cfg.Warning
		if ahead == 0 {
			ahead = min(defaultWarning, c.NotAfter.Sub(c.NotBefore)/warningShare)
		}
		if left := c.NotAfter.Sub(now); left > ahead {
			continue
		}
		today := now.Truncate(warningInterval).String()
		if id := string(c.Raw); r.warned[id] != today {
			r.warned[id] = today
			notes = append(notes, note{true, "a certificate ends soon, or has ended; replace it", []any{"certificate", called(c), "until", stamp(c.NotAfter)}})
		}
	}
	return notes
}
