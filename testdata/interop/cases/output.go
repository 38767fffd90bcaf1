package cases

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
)

// Output keeps what is written to it. Its methods may be called by any
// goroutine.
type Output struct {
	mu      sync.Mutex
	text    []byte
	changed chan struct{} // closed by the next Write; nil if nobody waits
}

// Write keeps p. It never fails.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, p...)
	if o.changed != nil {
		close(o.changed)
		o.changed = nil
	}
	return len(p), nil
}

// Wait returns once text has been written, or ctx's error with the end of
// what has been.
func (o *Output) Wait(ctx context.Context, text string) error {
	return o.wait(ctx, func(all []byte) bool { return bytes.Contains(all, []byte(text)) })
}

// WaitLine returns once a line has been written that has all of the texts in
// it, or ctx's error.
func (o *Output) WaitLine(ctx context.Context, texts ...string) error {
	return o.wait(ctx, func(all []byte) bool {
		for line := range bytes.Lines(all) {
			lacks := func(text string) bool { return !bytes.Contains(line, []byte(text)) }
			if bytes.HasSuffix(line, []byte("\n")) && !slices.ContainsFunc(texts, lacks) {
				return true
			}
		}
		return false
	})
}

func (o *Output) wait(ctx context.Context, there func([]byte) bool) error {
	for {
		o.mu.Lock()
		if there(o.text) {
			o.mu.Unlock()
			return nil
		}
		if o.changed == nil {
			o.changed = make(chan struct{})
		}
		changed, n, tail := o.changed, len(o.text), string(o.text[max(0, len(o.text)-80):])
		o.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%w; %d bytes arrived, ending in %q", ctx.Err(), n, tail)
		}
	}
}

// String returns all that has been written.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}
