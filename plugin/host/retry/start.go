package retry

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/tenonrpc/tenon/plugin/host"
)

// Policy is how often, how long and after which errors a start is tried again. The zero
// value is right for a plugin that somebody is waiting for.
type Policy struct {
	// Attempts is the largest number of attempts, the first included. Zero means 4; a
	// negative value is an error.
	Attempts int
	// Backoff determines the waits in between.
	Backoff Backoff
	// Total bounds all attempts and waits together. Each attempt is bounded by what is
	// left of it, besides host.Config.StartTimeout: if that is longer, Total cuts even
	// the first attempt short. Zero means 30 s; a negative value is an error.
	Total time.Duration
	// Retry reports whether to try again after an error, which is host.Start's. Nil
	// means Helps. It is not asked once ctx has ended or Total has passed.
	Retry func(error) bool
	// Notify is called before each wait, with the number of the attempt that failed,
	// from 1 on, its error, and how long the wait is: for a log, which has nothing of
	// attempts otherwise. Nil means that nobody is told.
	Notify func(attempt int, err error, wait time.Duration)
}

// Validate returns an error if a field has a value that makes no sense.
func (p Policy) Validate() error {
	switch {
	case p.Attempts < 0:
		return errors.New("retry: Policy.Attempts must not be negative")
	case p.Total < 0:
		return errors.New("retry: Policy.Total must not be negative")
	}
	return p.Backoff.Validate()
}

// Start is host.Start, called again after errors that may pass, as p says. It returns
// the first client that there is, or an *Error when it gives up; if p is not valid, it
// returns the error of Validate and starts nothing. The end of ctx ends the attempt or
// wait in progress; after Start has returned, ctx has no effect.
//
// Several calls may use the same config at once. It must not be changed before they
// have returned; then it and its Cmd can be used again.
func Start(ctx context.Context, config *host.Config, p Policy) (*host.Client, error) {
	return p.run(ctx, func(ctx context.Context) (*host.Client, error) { return host.Start(ctx, config) })
}

// run calls start until it succeeds or p says to give up.
func (p Policy) run(ctx context.Context, start func(context.Context) (*host.Client, error)) (*host.Client, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	attempts := cmp.Or(p.Attempts, defaultAttempts)
	helps := p.Retry
	if helps == nil {
		helps = Helps
	}
	begun := time.Now()
	end := begun.Add(cmp.Or(p.Total, defaultTotal))
	limited, cancel := context.WithDeadlineCause(ctx, end, ErrTotal)
	defer cancel()

	failed := new(Error)
	give := func(reason error) (*host.Client, error) {
		failed.Reason, failed.Took = reason, time.Since(begun)
		return nil, failed
	}
	var wait time.Duration
	for n := 1; ; n++ {
		at := time.Now()
		client, err := start(limited)
		if err == nil {
			return client, nil
		}
		failed.add(Attempt{Number: n, Err: err, Took: time.Since(at), Waited: wait})
		switch {
		case limited.Err() != nil:
			return give(context.Cause(limited))
		case !helps(err):
			return give(ErrUnhelpful)
		case n == attempts:
			return give(ErrAttempts)
		}
		wait = p.Backoff.Delay(n)
		if !time.Now().Add(wait).Before(end) {
			return give(ErrTotal) // waiting would be in vain
		}
		if p.Notify != nil {
			p.Notify(n, err, wait)
		}
		if !sleep(limited, wait) {
			return give(context.Cause(limited))
		}
	}
}

// sleep waits, and returns false if ctx ends first.
func sleep(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
