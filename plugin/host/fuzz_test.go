package host_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/tenonrpc/tenon/plugin/host"
)

// scripted is a Runner, and the process that it launches, in memory: it prints the
// given text and answers a connection with the given bytes.
type scripted struct {
	stdout, stderr, answer []byte
	hangsUp                bool // after the answer
	stays                  bool // after it has printed

	kill context.CancelFunc
	dead context.Context
}

func (s *scripted) Run(context.Context, *host.Launch) (host.Process, error) {
	s.dead, s.kill = context.WithCancel(context.Background())
	return s, nil
}

func (s *scripted) Name() string                    { return "scripted" }
func (s *scripted) ID() string                      { return "1" }
func (s *scripted) Diagnose(context.Context) string { return "" }
func (s *scripted) Kill(context.Context) error      { s.kill(); return nil }
func (s *scripted) Stdout() io.ReadCloser           { return s.print(s.stdout) }
func (s *scripted) Stderr() io.ReadCloser           { return s.print(s.stderr) }

func (s *scripted) Wait(context.Context) error {
	if s.stays {
		<-s.dead.Done()
		return errors.New("killed")
	}
	return nil
}

// print returns a stream that prints text and ends with the process.
func (s *scripted) print(text []byte) io.ReadCloser {
	r, w := io.Pipe()
	if s.stays {
		context.AfterFunc(s.dead, func() { w.Close() })
	}
	go func() {
		w.Write(text) // fails when the reader is closed
		if !s.stays {
			w.Close()
		}
	}()
	return r
}

func (s *scripted) PluginToHost(network, address string) (string, string, error) {
	return network, address, nil
}

func (s *scripted) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}

// dial is Config.Sockets.Dial: it connects whatever address the plugin announces.
func (s *scripted) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	var both sync.WaitGroup
	both.Go(func() { io.Copy(io.Discard, theirs) })
	both.Go(func() {
		theirs.Write(s.answer)
		if s.hangsUp {
			theirs.Close()
		}
	})
	context.AfterFunc(s.dead, func() { theirs.Close() })
	return ours, nil
}

// maxErrorText is more than the length of any StartError's text, whatever the plugin
// has printed.
const maxErrorText = 64 << 10

// FuzzStart starts plugins that print and answer anything. Start must return,
// with a StartError of bounded length unless the plugin was a good one, and leave
// nothing behind.
func FuzzStart(f *testing.F) {
	const line = "1|1|unix|/tmp/s|grpc"
	const settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x04\x01\x00\x00\x00\x00"
	for _, stdout := range []string{
		line + "\n", line + "|\n", line + "||true\n", line + "|AAAA\n", line, "1|1|tcp|127.0.0.1:1|grpc\n", "1|1|tcp|192.0.2.1:1|grpc\n", "1|1|tcp|[::]:1|grpc\n", "1|1|tcp|a.example:1|grpc\n",
		"1|1|unix|/tmp/s|netrpc\n", "1|9|unix|/tmp/s|grpc\n", "2|1|unix|/tmp/s|grpc\n", "1|1|pipe|x|grpc\n", "hello\n", "\x00\xff\n", "",
	} {
		for flags := range uint8(4) {
			f.Add([]byte(stdout), []byte("panic: no\n\ngoroutine 1 [running]:\n"), []byte(settings), flags)
		}
	}
	f.Add([]byte(line+"\n"), []byte(`{"@level":"info","@message":1}`+"\n"), []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), uint8(1|4|8))
	f.Add([]byte(line+"||true\n"), []byte("{{{{"), []byte("\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00"), uint8(1|2|4|8))
	temp := os.TempDir()
	f.Fuzz(func(t *testing.T, stdout, stderr, answer []byte, flags uint8) {
		has := func(bit uint8) bool { return flags&bit != 0 }
		synctest.Test(t, func(t *testing.T) {
			s := &scripted{stdout: stdout, stderr: stderr, answer: answer, hangsUp: has(4), stays: has(8)}
			c, err := host.Start(t.Context(), &host.Config{
				Handshake: shake, Runner: s, Sockets: host.Sockets{Dial: s.dial},
				InsecurePlaintext: has(1), Multiplex: has(2),
				Logger: slog.New(slog.DiscardHandler),
			})
			var se *host.StartError
			switch {
			case err == nil:
				c.Close()
			case !errors.As(err, &se):
				t.Errorf("not a StartError: %v", err)
			case len(err.Error()) > maxErrorText:
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			s.kill()
			synctest.Wait()
		})
		if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
}
