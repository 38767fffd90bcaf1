package plugin

import (
	"context"
	"io"
	"sync"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/wire"
)

// output holds what the plugin printed until the host has taken it. Writers
// never wait for the host: past maxStdioBuffer, what is printed is counted and
// dropped. All methods may be called concurrently.
type output struct {
	log  Logger
	turn chan struct{} // one token: whoever has it sends to the host

	mu sync.Mutex
	// guarded by mu
	chunks  []wire.StdioData // oldest first, each at most maxStdioChunk bytes
	size    int              // of chunks, overhead included
	dropped int64            // bytes, since it was last logged
	ended   bool             // nothing is added any more
	changed chan struct{}    // closed, and made anew, when there is more or the end
}

func newOutput(log Logger) *output {
	o := &output{log: log, turn: make(chan struct{}, 1), changed: make(chan struct{})}
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
		room := maxStdioBuffer - o.size - overhead
		if room <= 0 {
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

// end says that nothing will be added any more. What is there can still be
// taken.
func (o *output) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.ended {
		o.ended = true
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
		o.log.Warn("the plugin printed more than its host took; some output is lost", "bytes", dropped, "buffer", maxStdioBuffer)
	}
}

// StreamStdio implements control.StdioServer. The output goes to one host at a
// time: a second call waits until the first has ended. It ends when the plugin
// stops and everything printed before has been sent.
func (o *output) StreamStdio(_ *wire.Empty, stream h2grpc.ServerStreamingServer[wire.StdioData]) error {
	ctx := stream.Context()
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
