package retry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/wire"
)

// Reasons to give up, besides the end of the context.
var (
	// ErrUnhelpful is the Reason if trying again would not help after the last error.
	ErrUnhelpful = errors.New("trying again would not help")
	// ErrAttempts is the Reason if all attempts have been made.
	ErrAttempts = errors.New("no attempt is left")
	// ErrTotal is the Reason if Policy.Total leaves no time for another attempt, and
	// the cause of an attempt's end if it passes meanwhile. As for other deadlines,
	// errors.Is reports that it is context.DeadlineExceeded.
	ErrTotal error = totalError{}
)

type totalError struct{}

func (totalError) Error() string        { return "the time for all attempts (Policy.Total) is used up" }
func (totalError) Is(target error) bool { return target == context.DeadlineExceeded }

// Attempt is one start that failed.
type Attempt struct {
	Number int           // from 1 on
	Err    error         // host.Start's: a *host.StartError
	Took   time.Duration // the attempt alone
	Waited time.Duration // the wait before it; 0 for the first
}

// Error is the error of [Start] when it gives up.
type Error struct {
	// Attempts are the attempts in order, at least one: all of them if there were eight
	// or less, otherwise the first three and the last five.
	Attempts []Attempt
	Made     int           // how many attempts there were
	Took     time.Duration // all attempts and waits together
	// Reason is why there was no further attempt: ErrUnhelpful, ErrAttempts, ErrTotal,
	// or the cause for which the context ended.
	Reason error
}

// add adds an attempt, and forgets one from the middle if there are too many.
func (e *Error) add(a Attempt) {
	e.Made++
	if len(e.Attempts) == keptFirst+keptLast {
		copy(e.Attempts[keptFirst:], e.Attempts[keptFirst+1:])
		e.Attempts[len(e.Attempts)-1] = a
		return
	}
	e.Attempts = append(e.Attempts, a)
}

// last returns the last attempt's error.
func (e *Error) last() error {
	if len(e.Attempts) == 0 {
		return nil
	}
	return e.Attempts[len(e.Attempts)-1].Err
}

// Unwrap returns the last attempt's error, in which errors.As finds a *host.StartError,
// and e.Reason.
func (e *Error) Unwrap() []error { return []error{e.last(), e.Reason} }

// Error returns why Start gave up, a line for each attempt that is kept, if there are
// several, and the last one's error as it is, on several lines.
func (e *Error) Error() string {
	var b strings.Builder
	attempts := "one attempt"
	if e.Made != 1 {
		attempts = fmt.Sprintf("%d attempts", e.Made)
	}
	fmt.Fprintf(&b, "retry: gave up after %s in %v: %s\n", attempts, round(e.Took), wire.Printable(fmt.Sprint(e.Reason), maxLine))
	if e.Made > 1 {
		next := 1
		for _, a := range e.Attempts {
			if a.Number != next {
				fmt.Fprintf(&b, "  … (%d attempts more)\n", a.Number-next)
			}
			b.WriteString("  " + a.String() + "\n")
			next = a.Number + 1
		}
	}
	if err := e.last(); err != nil {
		b.WriteString(err.Error())
	}
	return b.String()
}

// String returns the attempt on one line: its number, its time, the stage, and the
// beginning of the error.
func (a Attempt) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "attempt %d", a.Number)
	if a.Waited > 0 {
		fmt.Fprintf(&b, ", after a wait of %v", round(a.Waited))
	}
	fmt.Fprintf(&b, ", failed in %v: ", round(a.Took))
	start := (*host.StartError)(nil)
	if !errors.As(a.Err, &start) {
		return b.String() + wire.Printable(fmt.Sprint(a.Err), maxLine)
	}
	b.WriteString(start.Stage.String() + ": ")
	b.WriteString(wire.Printable(strings.TrimPrefix(fmt.Sprint(start.Err), "handshake: "), maxLine))
	if start.ExitStatus.Ended {
		fmt.Fprintf(&b, " (%v)", start.ExitStatus)
	}
	return b.String()
}

// round returns a duration with the precision that a reader needs.
func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
