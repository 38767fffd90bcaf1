package host

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/tenonrpc/tenon/h2grpc/loglimit"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/internal/spool"
	"github.com/tenonrpc/tenon/wire"
)

// outputs are the application's writers, with what waits for them. One goroutine writes
// to all, because they may be the same. The plugin's output is read no faster than they
// take it, unless one is stuck: what then exceeds a limit is counted and dropped, since
// otherwise the plugin would be stuck too.
type outputs struct {
	*spool.Spool[*sink]
	stdout, stderr, raw sink
	limit               int
	log                 plugin.Logger
	tell                func()        // logs how many lines log has left out
	pipes               []*pluginPipe // made for the plugin, and read by its process's goroutines

	begin     sync.Once     // starts deliver
	delivered chan struct{} // closed when everything has been written, after End
}

// sink is one of the writers.
type sink struct {
	io.Writer             // nil if the application has none
	failed    atomic.Bool // it is not written to again, and the plugin does not wait for it
	unread    sync.Once   // logs that the plugin prints although there is no Writer
}

// pluginPipe is a pipe for one of the plugin's streams.
type pluginPipe struct {
	channel wire.Channel
	r       *os.File
	done    chan struct{} // closed when it has been read to its end
}

func newOutputs(s *settings) *outputs {
	o := &outputs{
		Spool:     spool.New[*sink](s.outputBuffer, outputPiece, outputPatience),
		limit:     s.outputBuffer,
		delivered: make(chan struct{}),
	}
	o.stdout.Writer, o.stderr.Writer, o.raw.Writer = s.stdout, s.stderr, s.rawStderr
	o.log, o.tell = loglimit.Wrap(s.logger)
	o.Reader(1)
	return o
}

// process returns the writer for the process's stdout, nil if there is none.
func (o *outputs) process() io.Writer {
	if o.stdout.Writer == nil || o.stdout.failed.Load() {
		return nil
	}
	return processStdout{o}
}

// processStdout is an io.Writer that calls write.
type processStdout struct{ *outputs }

func (o processStdout) Write(data []byte) (int, error) {
	o.write(wire.ChannelStdout, data)
	return len(data), nil
}

// write adds what the plugin has printed.
func (o *outputs) write(channel wire.Channel, data []byte) {
	to, name := &o.stdout, "Stdout"
	if channel == wire.ChannelStderr {
		to, name = &o.stderr, "Stderr"
	}
	if to.Writer == nil && len(data) > 0 {
		to.unread.Do(func() {
			o.log.Info("the plugin prints what nobody reads: Config.Output has no " + name)
		})
	}
	o.add(to, data)
}

// writeRaw adds what the process has written to its own stderr.
func (o *outputs) writeRaw(data []byte) { o.add(&o.raw, data) }

func (o *outputs) add(to *sink, data []byte) {
	if to.Writer != nil && !to.failed.Load() && len(data) > 0 {
		o.begin.Do(func() { go o.deliver() })
		o.Add(to, data)
	}
}

// deliver writes what is added, until End and all is written.
func (o *outputs) deliver() {
	defer close(o.delivered)
	for {
		p, err := o.Next(context.Background())
		if err != nil {
			return
		}
		o.logDropped()
		if !p.To.failed.Load() {
			n, err := p.To.Write(p.Data)
			if err == nil && n != len(p.Data) {
				err = io.ErrShortWrite
			}
			if err != nil {
				p.To.failed.Store(true)
				o.log.Warn("writing the plugin's output failed; the rest is dropped", "err", err)
			}
		}
		o.Done(p.Data) // writers do not keep what they are given (io.Writer)
	}
}

func (o *outputs) logDropped() {
	if n := o.Dropped(); n > 0 {
		o.log.Warn("the plugin printed more than the application's writers accepted; some output is lost", "bytes", n, "buffer", o.limit)
	}
}

// close ends the output when everything has been written or drainLimit has passed. If a
// writer was already stuck it waits only drainGrace.
func (o *outputs) close() {
	wait := drainLimit
	if o.End() {
		wait = drainGrace
	}
	o.begin.Do(func() { close(o.delivered) })
	waitFor(o.delivered, wait)
	o.Drop()
	o.logDropped()
	o.tell()
}

// newPipes makes pipes for the plugin's two streams, which the plugin is to have as
// descriptors from fd on, and returns the plugin's ends.
func (o *outputs) newPipes(fd int, env *wire.Env) ([]*os.File, error) {
	var files []*os.File
	for i, stream := range []struct {
		channel wire.Channel
		value   *string
	}{{wire.ChannelStdout, &env.Stdout}, {wire.ChannelStderr, &env.Stderr}} {
		p, err := newOutputPipe(fd + i)
		if err != nil {
			closeAll(files)
			o.closePipes()
			return nil, fmt.Errorf("making a pipe: %w", err)
		}
		*stream.value = string(p.id.Append(nil))
		files = append(files, p.plugin)
		o.pipes = append(o.pipes, &pluginPipe{stream.channel, p.host, make(chan struct{})})
	}
	return files, nil
}

func (o *outputs) closePipes() {
	for _, p := range o.pipes {
		p.r.Close()
	}
	o.pipes = nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// readPipe reads one of the plugin's pipes to its end.
func (p *process) readPipe(pipe *pluginPipe, out *outputs) {
	defer close(pipe.done)
	tail := &p.stdoutTail
	if pipe.channel == wire.ChannelStderr {
		tail = &p.stderrTail
	}
	buf := make([]byte, pipeRead)
	for {
		n, err := pipe.r.Read(buf)
		tail.Write(buf[:n])
		out.write(pipe.channel, buf[:n])
		p.printed.Add(int64(n))
		if err != nil {
			return
		}
	}
}
