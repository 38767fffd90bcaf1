package supervise

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/wire"
)

// State is what a supervised plugin is doing.
type State int

// The states. Exited is only ever that of an Event.
const (
	Stopped    State = iota // no process, and none is wanted before the next call, or ever
	Starting                // a process is being started
	Ready                   // a process takes calls
	Unhealthy               // the process has failed its checks, and is being ended
	Exited                  // a process has ended
	Restarting              // the next process is started after a wait
	GaveUp                  // there were too many failures: see GaveUpError
)

// String returns the state in lower case, such as "gave up".
func (s State) String() string {
	names := [...]string{"stopped", "starting", "ready", "unhealthy", "exited", "restarting", "gave up"}
	if s < 0 || int(s) >= len(names) {
		return fmt.Sprintf("state %d", int(s))
	}
	return names[s]
}

// Why is why a process of a plugin ended.
type Why int

// The reasons for which processes end.
const (
	WhyStart     Why = iota + 1 // it could not be started, or was not healthy in time
	WhyCrash                    // it ended by itself, with whatever exit status
	WhyUnhealthy                // it said that it does not serve
	WhySilent                   // it did not answer
	WhyMemory                   // it had reached Limits.Memory
	WhyAge                      // it had reached Limits.Age
	WhyReplaced                 // Replace
	WhyIdle                     // it had no calls for Config.Idle
	WhyStopped                  // Stop or Close
)

// String returns, for example, "did not answer".
func (w Why) String() string {
	names := [...]string{"could not be started", "ended by itself", "does not serve", "did not answer",
		"uses too much memory", "reached its age", "was replaced", "was idle", "was stopped"}
	if w < 1 || int(w) > len(names) {
		return fmt.Sprintf("reason %d", int(w))
	}
	return names[w-1]
}

// Exit is the end of a process, or a start that failed.
type Exit struct {
	Why     Why
	At      time.Time
	Process int           // counts the plugin's processes, from 1
	PID     int           // 0 if it never ran
	Ran     time.Duration // how long it was ready
	Status  host.ExitStatus
	// Err is what went wrong: a *host.StartError, a *host.ExitError, the error of the
	// last check or of Config.Prepare. It is nil if nothing did.
	Err error
}

// String returns one line: how the process ended, without what it printed.
func (e Exit) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "process %d %v", e.Process, e.Why)
	if e.Status.Ended {
		fmt.Fprintf(&b, " (%v)", e.Status)
	}
	if e.Why != WhyCrash && e.Err != nil {
		first, _, _ := strings.Cut(e.Err.Error(), "\n")
		fmt.Fprintf(&b, ": %s", wire.Printable(first, maxExitText))
	}
	return b.String()
}

// Event is something that happened to a supervised plugin.
type Event struct {
	Plugin  string // Config.Name
	At      time.Time
	State   State
	Process int           // counts the plugin's processes, from 1
	PID     int           // of a process that runs, or has run
	In      time.Duration // when Restarting: the time until the next start
	Exit    *Exit         // when Exited, Restarting or GaveUp: the end that led to it
	Err     error         // when Unhealthy: the error of the last check; when GaveUp: a *GaveUpError
	Missed  int           // how many events before this one were dropped
}

// Status describes a supervised plugin at one moment.
type Status struct {
	Plugin   string
	State    State
	Since    time.Time // when it came into this state
	Process  int       // counts the plugin's processes, from 1; 0 before the first
	PID      int       // of the process that takes calls; 0 if there is none, or a Runner launched it
	Version  int       // of the application's protocol, while there is a process
	Calls    int       // in progress
	Restarts int       // processes started after the first
	Failures int       // in a row, as Restart counts them
	LastExit *Exit     // nil if no process has ended yet
	Usage    Usage
}

// Usage is what a process has used, without its children. It is zero where the system
// does not tell: on Linux and Windows it does.
type Usage struct {
	RSS int64         // resident memory, in bytes
	CPU time.Duration // user and system time
}

// ErrStopped is wrapped by the errors of calls and of Replace after Stop or Close.
var ErrStopped = errors.New("the supervisor is stopped")

// ErrDoNotRestart is wrapped by errors of Config.Prepare after which the plugin is not
// to be started again.
var ErrDoNotRestart = errors.New("the plugin is not to be started again")

// GaveUpError is the error of calls to a plugin that is not started again, until
// [Supervisor.Replace]. errors.Is and errors.As look into its last Exit.
type GaveUpError struct {
	Plugin   string
	Failures int    // in a row
	Exits    []Exit // the last ones, eight at most, the oldest first
	Err      error  // what Restart.Decide returned, or the error that made the end certain; nil after too many failures
}

// Error returns the reason and the last exits, on several lines.
func (e *GaveUpError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "supervise: gave up on %s after %d failures in a row", e.Plugin, e.Failures)
	if e.Failures == 1 {
		b.Reset()
		fmt.Fprintf(&b, "supervise: gave up on %s at the first failure", e.Plugin)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	for i, x := range e.Exits {
		if e.Err != nil && i == len(e.Exits)-1 && errors.Is(e.Err, x.Err) {
			break // Err has it, at greater length
		}
		fmt.Fprintf(&b, "\n  %s %v", x.At.Format(time.TimeOnly), x)
	}
	return b.String()
}

// Unwrap returns Err and the error of the last Exit.
func (e *GaveUpError) Unwrap() []error {
	var list []error
	if e.Err != nil {
		list = append(list, e.Err)
	}
	if n := len(e.Exits); n > 0 && e.Exits[n-1].Err != nil {
		list = append(list, e.Exits[n-1].Err)
	}
	return list
}

// GRPCStatus returns UNAVAILABLE with the first line of the text.
func (e *GaveUpError) GRPCStatus() *status.Status {
	first, _, _ := strings.Cut(e.Error(), "\n")
	return status.New(codes.Unavailable, first)
}

// noProcessError is the error of a call for which there was no process.
type noProcessError struct {
	text string
	code codes.Code
	err  error // nil, ErrStopped, or the context's
}

func (e *noProcessError) Error() string { return "supervise: " + e.text }
func (e *noProcessError) Unwrap() error { return e.err }
func (e *noProcessError) GRPCStatus() *status.Status {
	return status.New(e.code, e.Error())
}
