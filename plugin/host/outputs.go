package host

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/loglimit"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/wire"
)

// outputs are the application's writers, with what waits for them: one goroutine
// writes to all, because they may be the same. Whoever hands something over
// waits for a writer that takes something from time to time, so that nothing is
// lost, however slow it is. For a writer that is stuck nobody waits: past a
// limit, what comes is counted and dropped, or the plugin would be stuck with it.
type outputs struct {
	limit int // of size
	log   plugin.Logger
	tell  func()        // writes what is to be told of lines that log left out
	pipes []*pluginPipe // made for the plugin, and read by its process's goroutines

	mu sync.Mutex
	// guarded by mu
	stdout, stderr, raw io.Writer     // nil: not wanted, or failed before
	queue               []piece       // oldest first
	size                int           // of queue, with pieceOverhead
	spares              [][]byte      // buffers for further pieces; none while nothing is written
	writing             bool          // the goroutine runs
	stalled             bool          // nothing has been taken for outputPatience
	ended               bool          // nothing is added any more
	dropped             int64         // bytes, since it was last logged
	taken               chan struct{} // closed by the next progress; nil if nobody waits for it
}

// piece is something printed, and the field with the writer that it is for.
type piece struct {
	to   *io.Writer
	data []byte
}

// pluginPipe is a pipe for one of the plugin's streams.
type pluginPipe struct {
	channel wire.Channel
	r       *os.File
	done    chan struct{} // closed when it has been read to its end
}

func newOutputs(s *settings) *outputs {
	o := &outputs{limit: s.outputBuffer, stdout: s.stdout, stderr: s.stderr, raw: s.rawStderr}
	o.log, o.tell = loglimit.Wrap(s.logger)
	return o
}

// process returns the writer for the process's stdout, nil if there is none.
func (o *outputs) process() io.Writer {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stdout == nil {
		return nil
	}
	return processStdout{o}
}

// processStdout makes Write of write.
type processStdout struct{ *outputs }

func (o processStdout) Write(data []byte) (int, error) {
	o.write(wire.ChannelStdout, data)
	return len(data), nil
}

// write hands over what the plugin has printed.
func (o *outputs) write(channel wire.Channel, data []byte) {
	to := &o.stdout
	if channel == wire.ChannelStderr {
		to = &o.stderr
	}
	o.add(to, data)
}

// writeRaw hands over what the process has written to its stderr.
func (o *outputs) writeRaw(data []byte) { o.add(&o.raw, data) }

// add queues a copy of data.
func (o *outputs) add(to *io.Writer, data []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(data) > 0 && *to != nil && !o.ended {
		last := o.last(to)
		cost := 0
		if last == nil {
			cost = pieceOverhead
		}
		room := o.limit - o.size - cost
		if room <= 0 {
			if o.await() {
				continue
			}
			o.dropped += int64(len(data))
			return
		}
		if last == nil {
			o.queue = append(o.queue, piece{to, o.spare()})
			last = &o.queue[len(o.queue)-1]
		}
		n := min(len(data), room, outputPiece-len(last.data))
		last.data = append(last.data, data[:n]...)
		o.size += n + cost
		data = data[n:]
		if !o.writing {
			o.writing = true
			go o.deliver()
		}
	}
}

// spare returns a buffer, which may be nil. It is called with mu held.
func (o *outputs) spare() []byte {
	n := len(o.spares)
	if n == 0 {
		return nil
	}
	b := o.spares[n-1]
	o.spares = o.spares[:n-1]
	return b
}

// last returns the last piece of the queue if there is room in it for more.
func (o *outputs) last(to *io.Writer) *piece {
	if n := len(o.queue); n > 0 && o.queue[n-1].to == to && len(o.queue[n-1].data) < outputPiece {
		return &o.queue[n-1]
	}
	return nil
}

// await waits until a writer has taken something, at most for outputPatience, and
// reports whether it has. It is called with mu held, and lets go of it while it
// waits.
func (o *outputs) await() bool {
	if o.stalled {
		return false
	}
	taken := o.next()
	o.mu.Unlock()
	timer := time.NewTimer(outputPatience)
	defer timer.Stop()
	select {
	case <-taken:
	case <-timer.C:
	}
	o.mu.Lock()
	select {
	case <-taken:
	default:
		o.stalled = true
	}
	return !o.stalled
}

// next returns a channel that is closed when a writer has taken something, or
// there is nothing left. It is called with mu held.
func (o *outputs) next() <-chan struct{} {
	if o.taken == nil {
		o.taken = make(chan struct{})
	}
	return o.taken
}

// progress tells who waits for it. It is called with mu held.
func (o *outputs) progress() {
	o.stalled = false
	if o.taken != nil {
		close(o.taken)
		o.taken = nil
	}
}

// deliver writes what is queued until there is nothing any more.
func (o *outputs) deliver() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.queue) > 0 {
		p := o.queue[0]
		o.queue[0] = piece{} // let go of its bytes
		o.queue = o.queue[1:]
		writer, dropped := *p.to, o.dropped
		o.dropped = 0
		o.mu.Unlock()
		o.logDropped(dropped)
		err := writeAll(writer, p.data)
		if err != nil {
			o.log.Warn("writing the plugin's output failed; the rest is dropped", "err", err)
		}
		o.mu.Lock()
		if err != nil {
			*p.to = nil // its plugin must not be held up
		}
		o.size -= len(p.data) + pieceOverhead
		// Writers do not keep what they are given (io.Writer), so that a flood
		// need not allocate.
		if len(o.spares) < outputSpares {
			o.spares = append(o.spares, p.data[:0])
		}
		o.progress()
	}
	o.spares = nil
	o.writing = false
	o.progress()
}

// writeAll writes data, unless the writer has failed before.
func writeAll(w io.Writer, data []byte) error {
	if w == nil {
		return nil
	}
	n, err := w.Write(data)
	if err == nil && n != len(data) {
		err = io.ErrShortWrite
	}
	return err
}

func (o *outputs) logDropped(n int64) {
	if n > 0 {
		o.log.Warn("the plugin printed more than the application's writers took; some output is lost", "bytes", n, "buffer", o.limit)
	}
}

// close ends the output when everything has been written, or when that has taken
// drainLimit. For writers that were stuck before it waits for drainGrace alone.
func (o *outputs) close() {
	wait := drainLimit
	if o.stuck() {
		wait = drainGrace
	}
	limit := time.NewTimer(wait)
	defer limit.Stop()
	for {
		taken := o.pending()
		if taken == nil {
			break
		}
		select {
		case <-taken:
			continue
		case <-limit.C:
		}
		break
	}
	o.abandon()
	o.tell()
}

func (o *outputs) stuck() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.stalled
}

// pending returns what tells of progress, nil if there is nothing to write, nor
// being written.
func (o *outputs) pending() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.writing {
		return nil
	}
	return o.next()
}

// abandon drops what has not been written.
func (o *outputs) abandon() {
	o.mu.Lock()
	o.ended = true
	for _, p := range o.queue {
		o.dropped += int64(len(p.data))
	}
	o.queue, o.size = nil, 0
	dropped := o.dropped
	o.dropped = 0
	o.mu.Unlock()
	o.logDropped(dropped)
}

// newPipes makes pipes for the plugin's two streams, which it is to have as
// descriptors from fd on, and returns its ends of them.
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
