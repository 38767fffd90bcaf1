//go:build !oldgoplugin

package interop_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	hashicorp "github.com/hashicorp/yamux"

	"github.com/tenonrpc/tenon/plugin/internal/yamux"
	"github.com/tenonrpc/tenon/plugin/interop/cases/leak"
)

// muxStream is a stream of either library.
type muxStream interface {
	net.Conn
	CloseWrite() error
}

// muxSession is a session of either library.
type muxSession interface {
	open() (muxStream, error)
	accept() (muxStream, error)
	streams() int
	ping() error
	Close() error
}

type ours struct{ *yamux.Session }

func (s ours) open() (muxStream, error) {
	st, err := s.Open(context.Background())
	return st, err
}

func (s ours) accept() (muxStream, error) {
	st, err := s.Accept()
	return st, err
}

func (s ours) streams() int { return s.NumStreams() }
func (s ours) ping() error  { return s.Err() } // it pings by itself

type theirs struct{ *hashicorp.Session }

// theirStream closes its half with Close: reading goes on after that. It must
// be closed once.
type theirStream struct{ *hashicorp.Stream }

func (s theirStream) CloseWrite() error { return s.Stream.Close() }

func (s theirs) open() (muxStream, error) {
	st, err := s.OpenStream()
	return theirStream{st}, err
}

func (s theirs) accept() (muxStream, error) {
	st, err := s.AcceptStream()
	return theirStream{st}, err
}

func (s theirs) streams() int { return s.NumStreams() }

func (s theirs) ping() error {
	_, err := s.Ping()
	return err
}

func theirConfig(log io.Writer) *hashicorp.Config {
	c := hashicorp.DefaultConfig()
	c.LogOutput = log
	return c
}

// muxLog keeps what hashicorp/yamux logs.
type muxLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *muxLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// complaints are the errors in the log. That a window update comes for a stream
// that was just closed is a warning, and in order.
func (l *muxLog) complaints() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !bytes.Contains(l.text.Bytes(), []byte("[ERR]")) {
		return ""
	}
	return l.text.String()
}

// eachRole runs f with our client and their server, and the other way round.
func eachRole(t *testing.T, f func(t *testing.T, us ours, them theirs, log *muxLog)) {
	for _, role := range []string{"client", "server"} {
		t.Run("our "+role, func(t *testing.T) {
			before := leak.Now()
			l, err := net.Listen("unix", filepath.Join(filepath.Dir(programs), "mux"))
			if err != nil {
				t.Fatal(err)
			}
			a, err := net.Dial("unix", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			b, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			l.Close()
			log := new(muxLog)
			var us *yamux.Session
			var them *hashicorp.Session
			if role == "client" {
				us = yamux.Client(a)
				them, err = hashicorp.Server(b, theirConfig(log))
			} else {
				us = yamux.Server(b)
				them, err = hashicorp.Client(a, theirConfig(log))
			}
			if err != nil {
				t.Fatal(err)
			}
			f(t, ours{us}, theirs{them}, log)
			us.Close()
			them.Close()
			if err := before.Since(true, true); err != nil {
				t.Error(err)
			}
		})
	}
}

// muxEcho answers the streams of s until it ends.
func muxEcho(s muxSession) {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		st, err := s.accept()
		if err != nil {
			return
		}
		all.Go(func() {
			io.Copy(st, st)
			st.Close()
		})
	}
}

// muxConverse sends n bytes on a new stream of s and wants them back.
func muxConverse(s muxSession, n int) error {
	st, err := s.open()
	if err != nil {
		return err
	}
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(data)
	wrote := make(chan error, 1)
	go func() {
		_, err := st.Write(data)
		wrote <- errors.Join(err, st.CloseWrite())
	}()
	sum := sha256.New()
	got, err := io.Copy(sum, st)
	if err := errors.Join(err, <-wrote); err != nil {
		return fmt.Errorf("after %d of %d bytes: %w", got, n, err)
	}
	if want := sha256.Sum256(data); !bytes.Equal(sum.Sum(nil), want[:]) {
		return fmt.Errorf("%d bytes came back as %d others", n, got)
	}
	if _, ok := st.(theirStream); !ok {
		st.Close()
	}
	return nil
}

func wantNoStreams(t *testing.T, sessions ...muxSession) {
	t.Helper()
	end := time.Now().Add(10 * time.Second)
	for _, s := range sessions {
		for s.streams() != 0 && time.Now().Before(end) {
			s.ping() // lets time pass
		}
		if n := s.streams(); n != 0 {
			t.Errorf("%d streams are left in a %T", n, s)
		}
	}
}

// TestYamuxTransfer moves much in both directions, on streams of both sides, at
// once.
func TestYamuxTransfer(t *testing.T) {
	eachRole(t, func(t *testing.T, us ours, them theirs, log *muxLog) {
		var served, all sync.WaitGroup
		served.Go(func() { muxEcho(us) })
		served.Go(func() { muxEcho(them) })
		for i := range 8 {
			for _, s := range []muxSession{us, them} {
				all.Go(func() {
					if err := muxConverse(s, 8<<20+i); err != nil {
						t.Errorf("streams of %T: %v", s, err)
					}
				})
			}
		}
		all.Wait()
		wantNoStreams(t, us, them)
		us.Close()
		them.Close()
		served.Wait()
		if text := log.complaints(); text != "" {
			t.Errorf("their log: %s", text)
		}
	})
}

// TestYamuxManyStreams opens 4000 streams from each side, 200 at a time.
func TestYamuxManyStreams(t *testing.T) {
	eachRole(t, func(t *testing.T, us ours, them theirs, log *muxLog) {
		var served, all sync.WaitGroup
		served.Go(func() { muxEcho(us) })
		served.Go(func() { muxEcho(them) })
		for i := range 200 {
			for _, s := range []muxSession{us, them} {
				all.Go(func() {
					for j := range 20 {
						if err := muxConverse(s, i+j*100); err != nil {
							t.Errorf("streams of %T: %v", s, err)
							return
						}
					}
				})
			}
		}
		all.Wait()
		wantNoStreams(t, us, them)
		us.Close()
		them.Close()
		served.Wait()
		if text := log.complaints(); text != "" {
			t.Errorf("their log: %s", text)
		}
	})
}

// TestYamuxOpenAtOnce has 2000 streams of each side open at once.
func TestYamuxOpenAtOnce(t *testing.T) {
	eachRole(t, func(t *testing.T, us ours, them theirs, log *muxLog) {
		var served sync.WaitGroup
		served.Go(func() { muxEcho(us) })
		served.Go(func() { muxEcho(them) })
		var open []muxStream
		for i := range 2000 {
			for _, s := range []muxSession{us, them} {
				st, err := s.open()
				if err == nil {
					_, err = fmt.Fprintf(st, "%8d", i)
				}
				if err != nil {
					t.Fatalf("stream %d of %T: %v", i, s, err)
				}
				open = append(open, st)
			}
		}
		for i, st := range open {
			buf := make([]byte, 8)
			if _, err := io.ReadFull(st, buf); err != nil || string(buf) != fmt.Sprintf("%8d", i/2) {
				t.Fatalf("stream %d answers %q, %v", i, buf, err)
			}
		}
		for _, st := range open {
			st.CloseWrite()
			if n, err := st.Read(make([]byte, 1)); err != io.EOF {
				t.Fatalf("the end of a stream: %d, %v", n, err)
			}
		}
		wantNoStreams(t, us, them)
		us.Close()
		them.Close()
		served.Wait()
		if text := log.complaints(); text != "" {
			t.Errorf("their log: %s", text)
		}
	})
}

// TestYamuxHalfClose has each side close its half first, and the other go on.
func TestYamuxHalfClose(t *testing.T) {
	eachRole(t, func(t *testing.T, us ours, them theirs, log *muxLog) {
		for _, sessions := range [][2]muxSession{{us, them}, {them, us}} {
			first, err := sessions[0].open()
			if err != nil {
				t.Fatal(err)
			}
			second, err := sessions[1].accept()
			if err != nil {
				t.Fatal(err)
			}
			first.Write([]byte("question"))
			first.CloseWrite()
			if got, err := io.ReadAll(second); string(got) != "question" || err != nil {
				t.Fatalf("%q, %v", got, err)
			}
			answer := make([]byte, 1<<20) // more than the window
			wrote := make(chan error, 1)
			go func() {
				_, err := second.Write(answer)
				wrote <- errors.Join(err, second.Close())
			}()
			if got, err := io.ReadAll(first); len(got) != len(answer) || err != nil {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
			if err := <-wrote; err != nil {
				t.Fatal(err)
			}
		}
		wantNoStreams(t, us, them)
		if text := log.complaints(); text != "" {
			t.Errorf("their log: %s", text)
		}
	})
}

// TestYamuxReset has us end streams at once, which they must not take for the
// end of the session.
func TestYamuxReset(t *testing.T) {
	eachRole(t, func(t *testing.T, us ours, them theirs, _ *muxLog) {
		var served sync.WaitGroup
		served.Go(func() { muxEcho(them) })
		for range 500 {
			st, err := us.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			st.Write(make([]byte, 100_000))
			st.Reset()
		}
		if err := muxConverse(us, 1<<20); err != nil {
			t.Error(err)
		}
		wantNoStreams(t, us, them)
		us.Close()
		them.Close()
		served.Wait()
	})
}

// TestYamuxAbruptEnd ends the connection under streams that are in use, from
// either side.
func TestYamuxAbruptEnd(t *testing.T) {
	for _, ending := range []string{"we", "they"} {
		t.Run(ending+" end", func(t *testing.T) {
			eachRole(t, func(t *testing.T, us ours, them theirs, _ *muxLog) {
				var served, all sync.WaitGroup
				served.Go(func() { muxEcho(us) })
				served.Go(func() { muxEcho(them) })
				var busy sync.WaitGroup
				for range 8 {
					for _, s := range []muxSession{us, them} {
						busy.Add(1)
						all.Go(func() {
							st, err := s.open()
							if err == nil {
								_, err = st.Write(make([]byte, 100_000))
							}
							busy.Done()
							for err == nil { // until the session ends
								if _, err = st.Read(make([]byte, 1<<10)); err == nil {
									_, err = st.Write(make([]byte, 1<<10))
								}
							}
						})
					}
				}
				busy.Wait()
				if ending == "we" {
					us.Close()
					<-them.CloseChan()
				} else {
					them.Close()
					<-us.Done()
					if err := us.Err(); err == nil {
						t.Error("our session ended without an error")
					}
				}
				all.Wait()
				served.Wait()
			})
		})
	}
}

// TestYamuxGoAway has each side refuse further streams.
func TestYamuxGoAway(t *testing.T) {
	eachRole(t, func(t *testing.T, us ours, them theirs, _ *muxLog) {
		var served sync.WaitGroup
		served.Go(func() { muxEcho(us) })
		served.Go(func() { muxEcho(them) })
		us.GoAway()
		if err := them.ping(); err != nil { // they know now
			t.Fatal(err)
		}
		if _, err := them.open(); !errors.Is(err, hashicorp.ErrRemoteGoAway) {
			t.Errorf("they open a stream after our go away: %v", err)
		}
		if err := muxConverse(us, 1000); err != nil {
			t.Errorf("our stream after our go away: %v", err)
		}
		if err := them.GoAway(); err != nil {
			t.Fatal(err)
		}
		if err := them.ping(); err != nil {
			t.Fatal(err)
		}
		if _, err := us.open(); !errors.Is(err, yamux.ErrGoAway) {
			t.Errorf("we open a stream after their go away: %v", err)
		}
		us.Close()
		them.Close()
		served.Wait()
	})
}

// TestYamuxKeepAlive pings often.
func TestYamuxKeepAlive(t *testing.T) {
	eachRole(t, func(t *testing.T, us ours, them theirs, log *muxLog) {
		for range 1000 {
			if err := them.ping(); err != nil {
				t.Fatal(err)
			}
		}
		if err, text := us.Err(), log.complaints(); err != nil || text != "" {
			t.Errorf("%v, their log: %s", err, text)
		}
	})
}
