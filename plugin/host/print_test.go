package host_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
)

// printers are the plugins of this file.
var printers = map[string]func(){"printer": playPrinter, "fails-after-printing": playFailing}

// printer is a plugin that prints a given number of bytes to both streams and then does
// what it is told: "exit", "panic", "kill" itself, or "return".
type printer struct{}

func (printer) GRPCServer(_ *plugin.Broker, s *h2grpc.Server) error {
	fmt.Println("registered")
	s.RegisterService(&h2grpc.ServiceDesc{ServiceName: "test.Printer", Methods: []h2grpc.MethodDesc{
		method("Print", func(_ context.Context, in string) (string, error) {
			var size int
			var then string
			if _, err := fmt.Sscan(in, &size, &then); err != nil {
				return "", err
			}
			os.Stdout.Write(printed('o', size))
			os.Stderr.Write(printed('e', size))
			switch then {
			case "exit":
				os.Exit(3)
			case "panic":
				go panic("boom")
				select {}
			case "kill":
				self, err := os.FindProcess(os.Getpid())
				must(err)
				must(self.Kill())
				select {}
			}
			return "", nil
		}),
	}}, nil)
	return nil
}

func (printer) GRPCClient(context.Context, *plugin.Broker, *h2grpc.ClientConn) (any, error) {
	return nil, nil
}

// printed returns what the printer prints: one line with every byte there is.
func printed(stream byte, size int) []byte {
	data := make([]byte, size)
	for i := range data {
		if data[i] = byte(i); data[i] == '\n' {
			data[i] = stream
		}
	}
	return data
}

// playPrinter is the printer's main function.
func playPrinter() {
	plugin.Serve(&plugin.ServeConfig{Handshake: shake, Plugins: plugin.Set{"printer": printer{}}})
	fmt.Println("served")
}

func print(c *host.Client, size int, then string) error {
	return c.Conn().Invoke(context.Background(), "/test.Printer/Print", &words{Service: fmt.Sprint(size, " ", then)}, new(words))
}

// paper keeps what is printed.
type paper struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (p *paper) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.Write(data)
}

// want requires that exactly this was printed.
func (p *paper) want(t *testing.T, name, begin string, data []byte, end string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	want := begin + string(data) + end
	if got := p.buf.String(); got != want {
		t.Errorf("%s: %d bytes arrived, want %d; they end in %q", name, len(got), len(want), got[max(0, len(got)-20):])
	}
}

// printerConfig starts the printer with two papers. Its buffer is so small that
// all that is printed has to wait for it.
func printerConfig(t *testing.T) (cfg *host.Config, stdout, stderr *paper) {
	t.Helper()
	cfg = fakeConfig(t, "printer")
	stdout, stderr = new(paper), new(paper)
	for _, p := range []*paper{stdout, stderr} {
		p.buf.Grow(tenMB + readSize) // growing it later could take a busy machine long
	}
	cfg.Output.Stdout, cfg.Output.Stderr = stdout, stderr
	cfg.Output.Buffer = 4 << 10
	return cfg, stdout, stderr
}

const (
	tenMB    = 10 << 20
	readSize = 32 << 10
)

// TestUnreadOutput: the log says once for each stream that nobody reads what the plugin
// prints, and nothing of the streams that have a writer.
func TestUnreadOutput(t *testing.T) {
	noLeaks(t)
	for _, unread := range [][]string{{"Stdout", "Stderr"}, {"Stderr"}} {
		cfg, _, _ := printerConfig(t)
		cfg.Output.Stderr = nil
		if len(unread) == 2 {
			cfg.Output.Stdout = nil
		}
		var log bytes.Buffer
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		c := start(t, cfg)
		for range 3 {
			if err := print(c, 100, "return"); err != nil {
				t.Fatal(err)
			}
		}
		c.Close()
		got := 0
		for _, stream := range []string{"Stdout", "Stderr"} {
			n := strings.Count(log.String(), "Config.Output has no "+stream)
			if got += n; n > 1 || (n == 1) != slices.Contains(unread, stream) {
				t.Errorf("%d records on %s, unread: %v", n, stream, unread)
			}
		}
		if got != len(unread) {
			t.Errorf("the log: %s", log.String())
		}
	}
}

// TestNothingPrintedIsLost has ten megabytes without a line end on each stream,
// and every way in which a plugin ends.
func TestNothingPrintedIsLost(t *testing.T) {
	for name, tc := range map[string]struct {
		end  string // what is printed after Serve has returned
		want host.ExitStatus
	}{
		"exit":  {"", host.ExitStatus{Ended: true, Code: 3}},
		"panic": {"", host.ExitStatus{Ended: true, Code: 2}},
		"kill":  {"", killed},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			cfg, stdout, stderr := printerConfig(t)
			c := start(t, cfg)
			if err := print(c, tenMB, name); err == nil {
				t.Error("the call succeeds")
			}
			<-c.Done()
			if c.ExitStatus() != tc.want {
				t.Errorf("exit status %v, want %v", c.ExitStatus(), tc.want)
			}
			stdout.want(t, "stdout", "registered\n", printed('o', tenMB), tc.end)
			stderr.want(t, "stderr", "", printed('e', tenMB), "")
		})
	}
	t.Run("Close", func(t *testing.T) {
		noLeaks(t)
		cfg, stdout, stderr := printerConfig(t)
		c := start(t, cfg)
		if err := print(c, tenMB, "return"); err != nil {
			t.Error(err)
		}
		closes(t, c)
		stdout.want(t, "stdout", "registered\n", printed('o', tenMB), "served\n")
		stderr.want(t, "stderr", "", printed('e', tenMB), "")
	})
	// Without the host's pipes, as under other hosts, what was printed before
	// Serve returns arrives.
	t.Run("over the connection", func(t *testing.T) {
		noLeaks(t)
		cfg, stdout, stderr := printerConfig(t)
		cfg.Detach = true
		c := start(t, cfg)
		if err := print(c, tenMB, "return"); err != nil {
			t.Error(err)
		}
		closes(t, c)
		stdout.want(t, "stdout", "registered\n", printed('o', tenMB), "")
		stderr.want(t, "stderr", "", printed('e', tenMB), "")
	})
}

// TestStuckWriterDoesNotBlockThePlugin has a writer that takes nothing until the
// plugin has printed more than all buffers hold.
func TestStuckWriterDoesNotBlockThePlugin(t *testing.T) {
	for name, detach := range map[string]bool{"pipes": false, "over the connection": true} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			var log recorder
			release := make(chan struct{})
			cfg := fakeConfig(t, "printer")
			cfg.Detach = detach
			cfg.Logger = log.logger()
			got := 0
			cfg.Output.Stdout = writerFunc(func(data []byte) (int, error) {
				<-release
				got += len(data)
				return len(data), nil
			})
			c := start(t, cfg)
			for range 3 {
				if err := print(c, tenMB, "return"); err != nil {
					t.Error(err)
				}
			}
			close(release)
			closes(t, c)
			if got > 8<<20 || got < 1<<19 {
				t.Errorf("%d bytes arrived: that is not what the buffers hold", got)
			}
			log.mu.Lock()
			defer log.mu.Unlock()
			if text := log.buf.String(); !strings.Contains(text, "some output is lost") || !strings.Contains(text, `"bytes":`) {
				t.Errorf("the loss is not counted in the log: %.2000s", text)
			}
		})
	}
}

func TestPrintingBeforeAFailedStartIsShown(t *testing.T) {
	noLeaks(t)
	cfg := fakeConfig(t, "fails-after-printing")
	cfg.Logger = slog.New(slog.DiscardHandler)
	start := failing(t, cfg)
	if !strings.Contains(string(start.Stdout), "reading the settings\n") || !strings.Contains(string(start.Stderr), "line 3: no such key\n") {
		t.Errorf("the error has %q and %q", start.Stdout, start.Stderr)
	}
}

// playFailing prints and then cannot serve.
func playFailing() {
	plugin.Serve(&plugin.ServeConfig{Handshake: shake, Plugins: plugin.Set{"kv": plugin.ServeOnly(func(*plugin.Broker, *h2grpc.Server) error {
		fmt.Println("reading the settings")
		fmt.Fprintln(os.Stderr, "line 3: no such key")
		return fmt.Errorf("bad settings")
	})}})
}
