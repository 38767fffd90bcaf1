package plugin

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/wire"
)

// output holds what the plugin printed until the host has taken it, up to a
// limit. When that is reached, writers wait for a host that takes something from
// time to time, so that nothing is lost, however slow it is. They wait for no
// other: what is printed for a host that does not read, or for none, is counted
// and dropped. All methods may be called concurrently.
type output struct {
	log   Logger
	limit int           // of size
	turn  chan struct{} // one token: whoever has it sends to the host

	mu sync.Mutex
	// guarded by mu
	chunks  []wire.StdioData // oldest first, each at most maxStdioChunk bytes
	size    int              // of chunks, overhead included
	dropped int64            // bytes, since it was last logged
	hosts   int              // that read the output, or wait for their turn
	stalled bool             // nobody has taken anything for stdioPatience
	taken   chan struct{}    // closed by the next progress; nil if nobody waits for it
	ended   bool             // nothing is added any more
	changed chan struct{}    // closed, and made anew, when there is more or the end
}

func newOutput(log Logger, limit int) *output {
	o := &output{log: log, limit: limit, turn: make(chan struct{}, 1), changed: make(chan struct{})}
	o.turn <- struct{}{}
	return o
}

// write adds a copy of data and reports whether it may: false means that the
// output has ended.
func (o *output) write(channel wire.Channel, data []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return false
	}
	for len(data) > 0 {
		var last *wire.StdioData
		if n := len(o.chunks); n > 0 && o.chunks[n-1].Channel == channel && len(o.chunks[n-1].Data) < maxStdioChunk {
			last = &o.chunks[n-1]
		}
		overhead := 0
		if last == nil {
			overhead = stdioChunkOverhead
		}
		room := o.limit - o.size - overhead
		if room <= 0 {
			if o.await() {
				continue
			}
			o.dropped += int64(len(data))
			break
		}
		if last == nil {
			o.chunks = append(o.chunks, wire.StdioData{Channel: channel})
			last = &o.chunks[len(o.chunks)-1]
		}
		n := min(len(data), room, maxStdioChunk-len(last.Data))
		last.Data = append(last.Data, data[:n]...)
		o.size += n + overhead
		data = data[n:]
	}
	o.announce()
	return true
}

// await waits until the host has taken something, at most for stdioPatience, and
// reports whether it has. It is called with mu held, and lets go of it while it
// waits.
func (o *output) await() bool {
	if o.hosts == 0 || o.stalled || o.ended {
		return false
	}
	if o.taken == nil {
		o.taken = make(chan struct{})
	}
	taken := o.taken
	o.mu.Unlock()
	timer := time.NewTimer(stdioPatience)
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
	return !o.stalled && !o.ended
}

// progress says that there may be room, or nothing to wait for any more. It is
// called with mu held.
func (o *output) progress() {
	o.stalled = false
	if o.taken != nil {
		close(o.taken)
		o.taken = nil
	}
}

// end says that nothing will be added any more. What is there can still be
// taken.
func (o *output) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.ended {
		o.ended = true
		o.progress()
		o.announce()
	}
}

// announce is called with mu held.
func (o *output) announce() {
	close(o.changed)
	o.changed = make(chan struct{})
}

// take removes the oldest chunk and returns it. It waits for one; at the end
// it returns io.EOF.
func (o *output) take(ctx context.Context) (wire.StdioData, error) {
	for {
		o.mu.Lock()
		if len(o.chunks) > 0 {
			chunk := o.chunks[0]
			o.chunks[0] = wire.StdioData{} // let go of its bytes
			o.chunks = o.chunks[1:]
			o.size -= len(chunk.Data) + stdioChunkOverhead
			o.progress()
			o.mu.Unlock()
			return chunk, nil
		}
		ended, changed := o.ended, o.changed
		o.mu.Unlock()
		if ended {
			return wire.StdioData{}, io.EOF
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return wire.StdioData{}, context.Cause(ctx)
		}
	}
}

// putBack undoes a take.
func (o *output) putBack(chunk wire.StdioData) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.chunks = append([]wire.StdioData{chunk}, o.chunks...)
	o.size += len(chunk.Data) + stdioChunkOverhead
	o.announce()
}

// logDropped says how much was dropped since it was last said.
func (o *output) logDropped() {
	o.mu.Lock()
	dropped := o.dropped
	o.dropped = 0
	o.mu.Unlock()
	if dropped > 0 {
		o.log.Warn("the plugin printed more than its host took; some output is lost", "bytes", dropped, "buffer", o.limit)
	}
}

// host notes that a host has come, or gone.
func (o *output) host(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hosts += n
	o.progress()
}

// StreamStdio implements control.StdioServer. The output goes to one host at a
// time: a second call waits until the first has ended. It ends when the plugin
// stops and everything printed before has been sent.
func (o *output) StreamStdio(_ *wire.Empty, stream h2grpc.ServerStreamingServer[wire.StdioData]) error {
	ctx := stream.Context()
	o.host(1)
	defer o.host(-1)
	select {
	case <-o.turn:
		defer func() { o.turn <- struct{}{} }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for {
		chunk, err := o.take(ctx)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		o.logDropped()
		if err := stream.Send(&chunk); err != nil {
			o.putBack(chunk)
			return err
		}
	}
}
