package host_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/host/fleet"
	"github.com/tenonrpc/tenon/wire"
)

// unruly is a plugin that does what no plugin should.
type unruly struct{ stdout, stderr *os.File } // the real ones

func unrulyConfig() *plugin.ServeConfig {
	return &plugin.ServeConfig{Handshake: shake, Plugins: plugin.Set{"unruly": unruly{os.Stdout, os.Stderr}}}
}

func init() { reals["real-unruly"] = unrulyConfig }

const (
	unrulyClose = "/test.Unruly/Close" // closes stdout and stderr
	unrulyFlood = "/test.Unruly/Flood" // writes so many bytes to stderr, without a newline
)

func (u unruly) GRPCServer(_ *plugin.Broker, s *h2grpc.Server) error {
	s.RegisterService(&h2grpc.ServiceDesc{ServiceName: "test.Unruly", Methods: []h2grpc.MethodDesc{
		method("Close", func(context.Context, string) (string, error) {
			return "", errors.Join(u.stdout.Close(), u.stderr.Close())
		}),
		method("Flood", func(_ context.Context, in string) (string, error) {
			size, err := strconv.ParseInt(in, 10, 64)
			if err != nil {
				return "", err
			}
			_, err = io.Copy(u.stderr, io.LimitReader(endless{}, size))
			return "", err
		}),
	}}, u)
	return nil
}

func (unruly) GRPCClient(context.Context, *plugin.Broker, *h2grpc.ClientConn) (any, error) {
	return nil, errors.ErrUnsupported
}

// endless is a text without a newline.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestPluginsThatCloseTheirStreams(t *testing.T) {
	eachDeath(t, func(t *testing.T, multiplex bool) {
		noLeaks(t)
		cfg := fakeConfig(t, "real-unruly")
		cfg.Multiplex = multiplex
		c := start(t, cfg)
		if err := c.Conn().Invoke(t.Context(), unrulyClose, new(words), new(words)); err != nil {
			t.Error(err)
		}
		// It is not taken for dead, and ends as it should.
		if err := c.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		closes(t, c)
		if want := (host.ExitStatus{Ended: true}); c.ExitStatus() != want {
			t.Errorf("exit status %v, want %v", c.ExitStatus(), want)
		}
	})
}

// counter is a log handler that sums the lengths of messages.
type counter struct {
	slog.Handler
	bytes *atomic.Int64
}

func (c counter) Enabled(context.Context, slog.Level) bool { return true }
func (c counter) WithAttrs([]slog.Attr) slog.Handler       { return c }
func (c counter) WithGroup(string) slog.Handler            { return c }
func (c counter) Handle(_ context.Context, r slog.Record) error {
	c.bytes.Add(int64(len(r.Message)))
	return nil
}

// heap returns the bytes in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// aLittle is how much memory a plugin may cost its host, in bytes: the end of its
// output, buffers, and the announcements that a broker keeps.
const aLittle = 12 << 20

// TestPluginsThatFillStderr has a plugin that writes 100 MB without a newline.
func TestPluginsThatFillStderr(t *testing.T) {
	noLeaks(t)
	const megabyte = 1000 * 1000
	size := int64(repetitions(t, 100)) * megabyte
	var logged atomic.Int64
	cfg := fakeConfig(t, "real-unruly")
	cfg.Logger = slog.New(counter{bytes: &logged})
	c := start(t, cfg)
	before := heap()
	if err := c.Conn().Invoke(t.Context(), unrulyFlood, &words{Service: fmt.Sprint(size)}, new(words)); err != nil {
		t.Error(err)
	}
	if more := heap() - before; more > aLittle {
		t.Errorf("%d MB on stderr cost %d bytes of memory", size/megabyte, more)
	}
	closes(t, c)
	if got := logged.Load(); got < size || got > size+100*1000 {
		t.Errorf("of %d bytes %d were logged", size, got)
	}
}

// manyMessages is how many announcements a talkative plugin makes.
const manyMessages = 10_000

func init() {
	servers["talkative"] = &server{talk: func(send func(*wire.ConnInfo) error) error {
		long := strings.Repeat("x", 4096) // the most that an address and an error may have
		for i := range uint32(manyMessages) {
			info := &wire.ConnInfo{ServiceID: 1000 + i, Network: wire.NetworkUnix, Address: long}
			switch i % 6 {
			case 1:
				info = &wire.ConnInfo{ServiceID: i, Knock: &wire.Knock{Knock: true}}
			case 2:
				info = &wire.ConnInfo{ServiceID: i, Knock: &wire.Knock{Knock: true, Ack: true, Error: long}}
			case 3: // every knock must be answered by a connection
				info = &wire.ConnInfo{ServiceID: i, Network: wire.NetworkReady, Knock: &wire.Knock{Knock: true, Ack: true}}
			}
			if err := send(info); err != nil {
				return err
			}
		}
		return send(&wire.ConnInfo{ServiceID: unannounced, Network: wire.NetworkUnix, Address: socketPath()})
	}}
}

// TestPluginsThatAnnounceWithoutEnd has a plugin that sends the broker 10 000 messages,
// for connections that are never dialled.
func TestPluginsThatAnnounceWithoutEnd(t *testing.T) {
	eachDeath(t, func(t *testing.T, multiplex bool) {
		noLeaks(t)
		before := heap()
		cfg := fakeConfig(t, "talkative")
		cfg.Multiplex = multiplex
		last := make(chan struct{})
		cfg.Logger = slog.New(onID{unannounced, last})
		c := start(t, cfg)
		// Once the last one is there, all others have been dealt with.
		if multiplex {
			<-last // it is ignored, and logged
		} else {
			cc, err := c.Broker().Dial(t.Context(), unannounced)
			if err != nil {
				t.Fatal(err)
			}
			cc.Close()
		}
		if more := heap() - before; more > aLittle {
			t.Errorf("%d messages cost %d bytes of memory", manyMessages, more)
		}
		if got, err := do(t.Context(), c, "echo hello"); err != nil || got != "hello" {
			t.Errorf("got %q, %v", got, err)
		}
		c.Kill()
	})
}

// onID is a log handler that waits for a record with an id.
type onID struct {
	id    uint64
	there chan struct{}
}

func (h onID) Enabled(context.Context, slog.Level) bool { return true }
func (h onID) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h onID) WithGroup(string) slog.Handler            { return h }
func (h onID) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "id" && a.Value.Kind() == slog.KindUint64 && a.Value.Uint64() == h.id {
			close(h.there)
		}
		return true
	})
	return nil
}

// lastWords is how many pieces of output a plugin has left when it is to end.
const lastWords = 20

func init() {
	// It prints one when the host has taken the one before.
	servers["long-winded"] = &server{shutdown: func(s *server) error {
		cue := os.NewFile(heldFD, "cue")
		for range lastWords {
			s.stdio <- wire.StdioData{Channel: wire.ChannelStdout, Data: []byte("x")}
			cue.Read(make([]byte, 1))
		}
		os.Exit(0)
		return nil
	}}
}

// TestLastWordsMayTakeTime has a plugin that goes on printing for longer than
// its output is waited for when it is silent.
func TestLastWordsMayTakeTime(t *testing.T) {
	notOnWindows(t, "Cmd.ExtraFiles is not supported")
	noLeaks(t)
	var arrived int
	// On a busy machine a single piece may take too long, but not every time.
	for try := 0; try < 10 && arrived != lastWords; try++ {
		cueR, cueW := pipe(t)
		arrived = 0
		cfg := fakeConfig(t, "long-winded")
		cfg.Cmd.ExtraFiles = []*os.File{cueR}
		cfg.StopTimeout = 3 * time.Second // cut off, it waits for a cue that does not come
		cfg.Output.Stdout = writerFunc(func(data []byte) (int, error) {
			arrived += len(data)
			<-time.NewTimer(20 * time.Millisecond).C
			return cueW.Write(data)
		})
		start(t, cfg).Close()
		cueR.Close()
		cueW.Close()
	}
	if arrived != lastWords {
		t.Errorf("of %d pieces %d arrived", lastWords, arrived)
	}
}

// TestKilledPluginsThatLeaveAChild has a child that keeps the pipes of a plugin
// that is killed from outside.
func TestKilledPluginsThatLeaveAChild(t *testing.T) {
	noLeaks(t)
	in, hold := pipe(t)
	cfg := fakeConfig(t, "good")
	cfg.Cmd.Stdin = in
	c := start(t, cfg)
	if _, err := do(t.Context(), c, "leave-a-child"); err != nil {
		t.Fatal(err)
	}
	killProcess(c.PID())
	within(t, ample/2, "the end", func() { wantKilled(t, c) })
	in.Close()
	hold.Close() // ends the child
}

// TestStartAndCloseOverAndOver leaves everything exactly as it was.
func TestStartAndCloseOverAndOver(t *testing.T) {
	cycle := func(i int) {
		cfg := fakeConfig(t, "real")
		cfg.Logger = slog.New(slog.DiscardHandler)
		cfg.InsecurePlaintext = i%2 == 1
		cfg.Multiplex = i%4 >= 2
		c, err := host.Start(t.Context(), cfg)
		if err != nil {
			t.Error(err)
			return
		}
		if err := c.Conn().Invoke(t.Context(), echoMethod, new(words), new(words)); err != nil {
			t.Error(err)
		}
		if i%5 == 0 {
			c.Kill()
		}
		closes(t, c)
	}
	first := takeStock()
	cycle(0)
	first.waitSame()
	before := takeStock()
	n := repetitions(t, 1000)
	begun := time.Now()
	inParallel(n, 4*runtime.GOMAXPROCS(0), cycle)
	t.Logf("%d cycles took %v", n, time.Since(begun))
	if diff := before.waitSame(); diff != "" {
		t.Errorf("left over: %s", diff)
	}
	if diff := takeStock().more(before); diff != "" {
		t.Errorf("what was there before is gone: %s", diff)
	}
}

// soon waits for a random time below limit.
func soon(limit time.Duration) { <-time.NewTimer(rand.N(limit)).C }

// TestEveryoneMayEndAPluginAtAnyTime ends plugins in all ways at once while they
// are used.
func TestEveryoneMayEndAPluginAtAnyTime(t *testing.T) {
	eachDeath(t, func(t *testing.T, multiplex bool) {
		noLeaks(t)
		inParallel(repetitions(t, 50), runtime.GOMAXPROCS(0), func(int) {
			cfg := fakeConfig(t, "real-stages")
			cfg.Multiplex = multiplex
			cfg.Logger = slog.New(slog.DiscardHandler)
			c, err := host.Start(t.Context(), cfg)
			if err != nil {
				t.Error(err)
				return
			}
			const moment = 5 * time.Millisecond
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() { soon(moment); c.Close() })
				all.Go(func() { soon(moment); c.Kill() })
				all.Go(func() { soon(moment); c.Shutdown(ended) })
				all.Go(func() { soon(moment); c.Ping(t.Context()) })
				all.Go(func() { soon(moment); c.Broker().Serve(t.Context(), func(*h2grpc.Server) error { return nil }) })
				all.Go(func() {
					soon(moment)
					if cc, err := c.Broker().Dial(t.Context(), unannounced); err == nil {
						cc.Close()
						t.Error("what nobody announces is dialled")
					}
				})
			}
			if err := c.Conn().Invoke(t.Context(), stagesCall, new(words), new(words)); status.Code(err) != codes.Unavailable && status.Code(err) != codes.Canceled {
				t.Errorf("a call in progress: %v", err)
			}
			all.Wait()
			<-c.Done()
			if err := c.Err(); err != nil {
				t.Errorf("Err: %v", err)
			}
		})
	})
}

// wineFailed reports whether Wine could not start a process, which happens when it
// starts many at once: ERROR_INTERNAL_ERROR.
func wineFailed(err error) bool {
	return runtime.GOOS == "windows" && errors.Is(err, syscall.Errno(1359))
}

// TestEveryoneMayEndAGroupAtAnyTime ends groups in all ways while their plugins
// are started.
func TestEveryoneMayEndAGroupAtAnyTime(t *testing.T) {
	eachDeath(t, func(t *testing.T, multiplex bool) {
		noLeaks(t)
		inParallel(repetitions(t, 50), runtime.GOMAXPROCS(0), func(int) {
			var g fleet.Group
			cfg := fakeConfig(t, "real")
			cfg.Multiplex = multiplex
			cfg.Logger = slog.New(slog.DiscardHandler)
			var all sync.WaitGroup
			for i := range 3 {
				all.Go(func() {
					c, err := g.Start(t.Context(), fmt.Sprint(i), cfg)
					if err != nil && !errors.Is(err, fleet.ErrGroupClosed) && !wineFailed(err) {
						t.Errorf("Start: %v", err)
					}
					if err == nil {
						<-c.Done()
					}
				})
			}
			all.Go(func() { soon(starting); g.Close() })
			all.Go(func() { soon(starting); g.Kill() })
			all.Go(func() { soon(starting); g.Shutdown(t.Context()) })
			all.Wait()
		})
	})
}
