package winpipe_test

import (
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/tenonrpc/tenon/plugin/internal/winpipe"
	"github.com/tenonrpc/tenon/wire"
)

func TestPipes(t *testing.T) {
	for name, tc := range map[string]struct {
		make           func() (*winpipe.Pipe, error)
		reader, writer func(p *winpipe.Pipe, plugin *os.File) *os.File
	}{
		"to the host":   {winpipe.ToHost, func(p *winpipe.Pipe, _ *os.File) *os.File { return p.Host }, func(_ *winpipe.Pipe, f *os.File) *os.File { return f }},
		"to the plugin": {winpipe.ToPlugin, func(_ *winpipe.Pipe, f *os.File) *os.File { return f }, func(p *winpipe.Pipe, _ *os.File) *os.File { return p.Host }},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := tc.make()
			if err != nil {
				t.Fatal(err)
			}
			// The pipe's id is passed in the environment.
			id, err := wire.ParseLifeline(string(p.ID.Append(nil)))
			if err != nil {
				t.Fatal(err)
			}
			// The plugin's process has a handle of its own to close.
			self, _ := syscall.GetCurrentProcess()
			var own syscall.Handle
			if err := syscall.DuplicateHandle(self, syscall.Handle(id.FD), self, &own, 0, true, syscall.DUPLICATE_SAME_ACCESS); err != nil {
				t.Fatal(err)
			}
			id.FD = int(own)
			plugin, err := winpipe.Open(id)
			if err != nil {
				t.Fatal(err)
			}
			p.Plugin.Close()
			r, w := tc.reader(p, plugin), tc.writer(p, plugin)
			go func() {
				io.WriteString(w, strings.Repeat("x", 1<<20))
				w.Close()
			}()
			got, err := io.ReadAll(r)
			if err != nil || len(got) != 1<<20 {
				t.Errorf("%d bytes arrived, %v", len(got), err)
			}
			r.Close()
		})
	}
}

// TestCloseEndsRead: nothing is written, and the host closes its end.
func TestCloseEndsRead(t *testing.T) {
	p, err := winpipe.ToHost()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Plugin.Close()
	done := make(chan error)
	go func() {
		_, err := p.Host.Read(make([]byte, 1))
		done <- err
	}()
	p.Host.Close()
	if err := <-done; err == nil {
		t.Error("no error")
	}
}

func TestNotTheHosts(t *testing.T) {
	p, err := winpipe.ToPlugin()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Host.Close()
	defer p.Plugin.Close()
	other := p.ID
	other.Inode++
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	file, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	at := func(f *os.File) wire.Lifeline {
		id := p.ID
		id.FD = int(f.Fd())
		return id
	}
	gone := at(file)
	gone.FD = 0x7ffff0
	for name, tc := range map[string]struct {
		id   wire.Lifeline
		want string
	}{
		"another name": {other, "is not the host's pipe"},
		"another pipe": {at(r), "is not the host's pipe"},
		"a file":       {at(file), "is not the host's pipe"},
		"nothing":      {gone, "was not inherited"},
	} {
		if f, err := winpipe.Open(tc.id); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, %v; want an error with %q", name, f, err, tc.want)
		}
	}
}
