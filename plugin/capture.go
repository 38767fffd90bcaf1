package plugin

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tenonrpc/tenon/wire"
)

// capture is what os.Stdout and os.Stderr lead to while a plugin serves: two pipes, and
// goroutines that move their contents to the output. If the host has passed pipes for the
// purpose to the plugin, os.Stdout and os.Stderr are those instead: the host reads them,
// and their contents survive the process.
//
// The variables are not restored in the end: other goroutines may be printing, so that
// restoring them would be a data race. What is printed after the output has ended goes to
// the real stderr.
type capture struct {
	out    *output
	stderr *os.File // the real one
	pipes  []*pipe
}

// pipe is one captured stream.
type pipe struct {
	channel wire.Channel
	r, w    *os.File
	mark    []byte        // see capture.flush; random, so that nothing prints it by accident
	marking atomic.Bool   // the mark may be in what is read from now on
	flushed chan struct{} // closed when the mark has been read, or nothing more can be read
	once    sync.Once
}

// captureOutput replaces os.Stdout and os.Stderr with pipes to out. It must not be called
// twice in a process.
func captureOutput(out *output, env wire.Env, outlive bool) (*capture, error) {
	c := &capture{out: out, stderr: os.Stderr}
	if stdout, stderr := hostPipes(env, outlive, out.log); stdout != nil {
		os.Stdout, os.Stderr = stdout, stderr
		return c, nil
	}
	for _, channel := range []wire.Channel{wire.ChannelStdout, wire.ChannelStderr} {
		r, w, err := os.Pipe()
		if err != nil {
			c.abandon()
			return nil, fmt.Errorf("plugin: making a pipe for the plugin's output: %w", err)
		}
		c.pipes = append(c.pipes, &pipe{
			channel: channel, r: r, w: w,
			mark:    []byte(rand.Text()),
			flushed: make(chan struct{}),
		})
	}
	os.Stdout, os.Stderr = c.pipes[0].w, c.pipes[1].w
	for _, p := range c.pipes {
		go p.pump(c.out.Add, c.stderr)
	}
	return c, nil
}

// hostPipes returns the pipes that the host has passed to the plugin for its output, or
// nil if there are none. A plugin that outlives its host does not use them: what it
// prints later waits for the next host.
func hostPipes(env wire.Env, outlive bool, log Logger) (stdout, stderr *os.File) {
	if env.Stdout == "" || env.Stderr == "" {
		return nil, nil
	}
	var files []*os.File
	for _, value := range []string{env.Stdout, env.Stderr} {
		l, err := wire.ParseLifeline(value)
		var f *os.File
		if err == nil {
			f, err = openOutput(l)
		}
		if err != nil {
			log.Debug("the host's pipe for the plugin's output cannot be used", "err", err)
			continue
		}
		files = append(files, f)
	}
	if len(files) < 2 || outlive {
		for _, f := range files {
			f.Close() // the plugin's children must not inherit it, either
		}
		return nil, nil
	}
	return files[0], files[1]
}

func (c *capture) abandon() {
	for _, p := range c.pipes {
		p.r.Close()
		p.w.Close()
	}
}

// flush returns when everything that was printed before the call is in the output, and
// ends the output. It waits for the goroutines of capture, which may be waiting for a
// slow host, but for at most flushTimeout.
//
// Closing the pipes would not show where the output ends: a child process may have
// inherited them. So flush writes a mark into each pipe and waits until the mark comes
// out; a pipe keeps the order, and a write this short is never mixed with another (POSIX,
// PIPE_BUF).
func (c *capture) flush() {
	timer := time.NewTimer(flushTimeout)
	defer timer.Stop()
	for _, p := range c.pipes {
		p.marking.Store(true)
		if _, err := p.w.Write(p.mark); err != nil {
			p.finish() // the application has closed it
		}
	}
	for _, p := range c.pipes {
		select {
		case <-p.flushed:
		case <-timer.C:
			c.out.log.Warn("the plugin's last output could not be collected in time")
			timer.Reset(0)
		}
	}
	c.out.End()
}

func (p *pipe) finish() { p.once.Do(func() { close(p.flushed) }) }

// pump moves the output from the pipe to write, for the rest of the process's life. What
// write refuses goes to stderr.
func (p *pipe) pump(write func(wire.Channel, []byte) bool, stderr io.Writer) {
	defer p.finish()
	defer p.r.Close() // so that printing fails instead of waiting for ever
	pass := func(data []byte) {
		if len(data) > 0 && !write(p.channel, data) {
			stderr.Write(data)
		}
	}
	buf := make([]byte, stdioReadSize)
	kept := 0 // bytes at the start of buf that may be the start of the mark
	for {
		n, err := p.r.Read(buf[kept:])
		data := buf[:kept+n]
		kept = 0
		if p.marking.Load() {
			if before, after, found := bytes.Cut(data, p.mark); found {
				p.marking.Store(false)
				pass(before)
				p.finish()
				pass(after)
				data = nil
			} else if err == nil {
				kept = partial(data, p.mark)
			}
		}
		pass(data[:len(data)-kept])
		copy(buf, data[len(data)-kept:])
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrClosed) {
				fmt.Fprintf(stderr, "plugin: reading the plugin's output: %v\n", err)
			}
			return
		}
	}
}

// partial returns the length of the longest suffix of data that is a proper prefix of
// mark.
func partial(data, mark []byte) int {
	for n := min(len(data), len(mark)-1); n > 0; n-- {
		if bytes.HasSuffix(data, mark[:n]) {
			return n
		}
	}
	return 0
}
