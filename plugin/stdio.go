package plugin

import (
	"context"
	"io"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin/internal/spool"
	"github.com/tenonrpc/tenon/wire"
)

// output holds what the plugin has printed until the host takes it, up to a limit.
// Printing waits only for a host that reads: what is printed for a host that does not
// read, or while there is none, is counted and dropped when the buffer is full. All
// methods may be called concurrently.
type output struct {
	*spool.Spool[wire.Channel]
	log   Logger
	limit int
	token chan struct{} // holds one token; the call that takes it sends to the host
}

func newOutput(log Logger, limit int) *output {
	o := &output{spool.New[wire.Channel](limit, maxStdioChunk, stdioPatience), log, limit, make(chan struct{}, 1)}
	o.token <- struct{}{}
	return o
}

// logDropped logs how much has been dropped since it was last called.
func (o *output) logDropped() {
	if dropped := o.Dropped(); dropped > 0 {
		o.log.Warn("the plugin printed more than its host read; some output is lost", "bytes", dropped, "buffer", o.limit)
	}
}

// StreamStdio implements control.StdioServer. The output goes to one host at a time: a
// second call waits until the first has ended. A call ends when the plugin stops and
// everything printed before has been sent.
func (o *output) StreamStdio(_ *wire.Empty, stream h2grpc.ServerStreamingServer[wire.StdioData]) error {
	ctx := stream.Context()
	o.Reader(1)
	defer o.Reader(-1)
	select {
	case <-o.token:
		defer func() { o.token <- struct{}{} }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for {
		chunk, err := o.Next(ctx)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		o.logDropped()
		if err := stream.Send(&wire.StdioData{Channel: chunk.To, Data: chunk.Data}); err != nil {
			o.Again()
			return err
		}
		o.Done(nil) // an interceptor may have kept the message
	}
}
