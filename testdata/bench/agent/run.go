package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"github.com/tenonrpc/tenon/plugin/bench/contender"
)

// overtime is how much longer than asked for a run may take before its calls
// are cancelled and it has failed.
const overtime = 20 * time.Second

// perStream is how many messages a stream carries: so many that opening it does
// not count, so few that a run ends in time.
const perStream = 10_000

// run runs a load for a time and measures it.
func (c *client) run(load *Load, length time.Duration) (*Result, error) {
	// A deadline of the context would be sent with each call, and has a load of
	// its own.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer time.AfterFunc(length+overtime, cancel).Stop()
	loop, err := c.loop(load)
	if err != nil {
		return nil, err
	}
	beside, stop := context.WithCancel(ctx)
	defer stop()
	others, err := c.beside(beside, load.Beside)
	if err != nil {
		return nil, err
	}

	histograms := make([]histogram, load.Callers)
	counts := make([]uint64, load.Callers)
	errs := make([]error, load.Callers)
	runtime.GC()
	before, err := usage(false)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	var callers sync.WaitGroup
	for i := range load.Callers {
		callers.Go(func() { counts[i], errs[i] = loop(ctx, begin.Add(length), &histograms[i]) })
	}
	callers.Wait()
	result := &Result{Elapsed: time.Since(begin)}
	after, err := usage(false)
	stop()
	if err := errors.Join(append(errs, err, others())...); err != nil {
		return nil, err
	}
	result.CPU = after.CPU - before.CPU
	result.Mallocs = after.Mallocs - before.Mallocs
	for i := range load.Callers {
		result.Calls += counts[i]
		if i > 0 {
			histograms[0].merge(&histograms[i])
		}
	}
	if h := &histograms[0]; !load.Kind.Streaming() {
		result.P50, result.P99, result.P999, result.Max = h.quantile(0.5), h.quantile(0.99), h.quantile(0.999), h.max
	}
	return result, nil
}

// beside begins what goes on beside a load, until its context ends. The function
// it returns waits for the end.
func (c *client) beside(ctx context.Context, what Beside) (wait func() error, err error) {
	in, callers := &contender.Message{}, 0
	switch what {
	case "":
		return func() error { return nil }, nil
	case Waiting:
		in.WaitUs, callers = uint64(besideTime.Microseconds()), besideWaiting
	case Computing:
		in.ComputeUs, callers = uint64(besideTime.Microseconds()), 1
	default:
		return nil, fmt.Errorf("nothing is known to go on beside as %q", what)
	}
	if _, err := c.main.Echo(ctx, in); err != nil {
		return nil, err
	}
	var running sync.WaitGroup
	errs := make([]error, callers)
	for i := range callers {
		running.Go(func() {
			// No call is cancelled: some libraries close their connections.
			for ctx.Err() == nil && errs[i] == nil {
				_, errs[i] = c.main.Echo(context.WithoutCancel(ctx), in)
			}
		})
	}
	return func() error {
		running.Wait()
		return errors.Join(errs...)
	}, nil
}

// A loop is one caller: it makes calls until the time has come, and returns how
// many.
type loop func(ctx context.Context, end time.Time, h *histogram) (uint64, error)

func (c *client) loop(load *Load) (loop, error) {
	data := bytes.Repeat([]byte{1}, load.Size)
	switch load.Kind {
	case Echo:
		return calls(func(ctx context.Context) error {
			// Generated code allocates the response, too; the request is the
			// application's.
			out, err := c.main.Echo(ctx, &contender.Message{Data: data})
			if err == nil && len(out.Data) != len(data) {
				err = fmt.Errorf("sent %d bytes and got %d", len(data), len(out.Data))
			}
			return err
		}), nil
	case Inspect:
		pairs := contender.MakePairs()
		return calls(func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, contender.Deadline)
			defer cancel()
			_, err := c.main.Inspect(ctx, pairs, &contender.Message{Data: data})
			return err
		}), nil
	case PingPong:
		return c.pingPong(data), nil
	case Source, Sink, Chat:
		return c.streams(load.Kind, data), nil
	}
	return nil, fmt.Errorf("there is no load of the kind %q", load.Kind)
}

// calls measures one call after another.
func calls(call func(context.Context) error) loop {
	return func(ctx context.Context, end time.Time, h *histogram) (uint64, error) {
		for last := time.Now(); ; {
			if err := call(ctx); err != nil {
				return h.n, err
			}
			now := time.Now()
			h.add(now.Sub(last))
			if last = now; !now.Before(end) {
				return h.n, nil
			}
		}
	}
}

// pingPong sends a message on one stream when the last one has come back.
func (c *client) pingPong(data []byte) loop {
	return func(ctx context.Context, end time.Time, h *histogram) (uint64, error) {
		s, err := c.main.Open(ctx, contender.Chat)
		if err != nil {
			return 0, err
		}
		n, err := calls(func(context.Context) error {
			if err := s.Send(&contender.Message{Data: data}); err != nil {
				return err
			}
			_, err := s.Recv()
			return err
		})(ctx, end, h)
		if err != nil {
			return n, err
		}
		return n, drained(s, 0)
	}
}

// streams opens one stream after another.
func (c *client) streams(kind Kind, data []byte) loop {
	methods := map[Kind]contender.Method{Source: contender.Source, Sink: contender.Sink, Chat: contender.Chat}
	bodies := map[Kind]func(contender.Stream, []byte) error{Source: readSource, Sink: fillSink, Chat: talk}
	return func(ctx context.Context, end time.Time, _ *histogram) (uint64, error) {
		for n := uint64(0); ; {
			s, err := c.main.Open(ctx, methods[kind])
			if err != nil {
				return n, err
			}
			if err := bodies[kind](s, data); err != nil {
				return n, err
			}
			if n += perStream; !time.Now().Before(end) {
				return n, nil
			}
		}
	}
}

func readSource(s contender.Stream, data []byte) error {
	if err := s.Send(&contender.Message{Data: data, Count: perStream}); err != nil {
		return err
	}
	return drained(s, perStream)
}

func fillSink(s contender.Stream, data []byte) error {
	for range perStream {
		if err := s.Send(&contender.Message{Data: data}); err != nil {
			return err
		}
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	out, err := s.Recv()
	if err == nil && out.Count != perStream {
		err = fmt.Errorf("of %d messages %d have arrived", perStream, out.Count)
	}
	return err
}

func talk(s contender.Stream, data []byte) error {
	sent := make(chan error, 1)
	go func() {
		for range perStream {
			if err := s.Send(&contender.Message{Data: data}); err != nil {
				sent <- err
				return
			}
		}
		sent <- s.CloseSend()
	}()
	n, err := drain(s)
	if err := errors.Join(<-sent, err); err != nil {
		return err
	}
	return exactly(n, perStream)
}

// drained ends sending and reads a stream of so many messages to its end.
func drained(s contender.Stream, want int) error {
	if err := s.CloseSend(); err != nil {
		return err
	}
	n, err := drain(s)
	if err != nil {
		return err
	}
	return exactly(n, want)
}

func exactly(n, want int) error {
	if n != want {
		return fmt.Errorf("%d messages have come, not %d", n, want)
	}
	return nil
}

// drain reads a stream to its end and returns how many messages there were.
func drain(s contender.Stream) (int, error) {
	for n := 0; ; n++ {
		if _, err := s.Recv(); err == io.EOF {
			return n, nil
		} else if err != nil {
			return n, err
		}
	}
}
