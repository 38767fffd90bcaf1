package host

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tenonrpc/tenon/wire"
)

// ErrKilled is wrapped by the error of Shutdown and Close if the plugin did not end by
// itself in time and had to be killed. Everything is freed all the same.
var ErrKilled = errors.New("the plugin did not end by itself and was killed")

// ErrNotKilled is wrapped by the error of Shutdown and Close if a plugin that was
// attached to did not end by itself, and it is not certain which process it is. Nothing
// was killed; the connection is closed.
var ErrNotKilled = errors.New("the plugin did not end by itself; it was not killed, because nothing proves which process it is")

// ErrVersion is wrapped by the error of Start if the plugin and this host share no version
// of the application's protocol.
var ErrVersion = errors.New("the plugin and this host share no version of the application's protocol")

// ErrCertificate is wrapped by the error of Start if the plugin announced a certificate
// although Config.InsecurePlaintext is set, or none under AutoMTLS.
var ErrCertificate = errors.New("the plugin does not use TLS as this host asks it to")

// ErrNotRunning is wrapped by the error of Start, Reattach and ReattachWithKey if the
// plugin to attach to has ended.
var ErrNotRunning = errors.New("the plugin is no longer running")

// ErrCookieRefused is wrapped by the error of Start if the plugin ended because the
// magic cookie is not its own, as far as its exit status and its words on stderr tell.
var ErrCookieRefused = errors.New("the plugin refused the magic cookie")

// ErrNotServing is wrapped by the error of Ping if the plugin answers, and its answer is
// that it is not serving: see plugin.ServeConfig.Health. Calls may work all the same.
var ErrNotServing = errors.New("it answers that it is not serving")

// Stage is a step of Start.
type Stage int

// The stages of Start, in order, except for the last two.
const (
	StageConfig    Stage = iota + 1 // checking Config; nothing has been started
	StagePrepare                    // making the key pair, the socket directory and the environment
	StageLaunch                     // starting the process
	StageHandshake                  // waiting for the plugin's handshake line and reading it
	StageCheck                      // comparing the handshake with what Config allows
	StageConnect                    // connecting to the address in the handshake
	StageAttach                     // finding the running plugin, instead of StageLaunch and StageHandshake
	StageVerify                     // verifying the plugin's file with Config.Verify, before StageLaunch
)

// String returns a description of the stage, such as "reading the handshake".
func (s Stage) String() string {
	switch s {
	case StageConfig:
		return "checking the configuration"
	case StagePrepare:
		return "preparing the launch"
	case StageLaunch:
		return "launching"
	case StageHandshake:
		return "reading the handshake"
	case StageCheck:
		return "checking the handshake"
	case StageConnect:
		return "connecting"
	case StageAttach:
		return "finding the running plugin"
	case StageVerify:
		return "verifying the file"
	}
	return fmt.Sprintf("stage %d", int(s))
}

// ExitStatus describes how a plugin's process ended. The zero value means that it had
// not ended, or was never started.
type ExitStatus struct {
	Ended  bool
	Code   int    // the exit status; -1 if a signal ended the process, or it is not known
	Signal string // the name of the signal that ended it, "" otherwise
}

// String returns, for example, "exit status 1" or "signal: killed".
func (s ExitStatus) String() string {
	switch {
	case !s.Ended:
		return "not ended"
	case s.Signal != "":
		return "signal: " + s.Signal
	case s.Code < 0:
		return "exit status unknown"
	}
	return fmt.Sprintf("exit status %d", s.Code)
}

// StartError is the error of [Start]. It holds the stage at which the start failed,
// what the plugin had written until then and, if known, what to do about it. When it is
// returned, nothing is left of the plugin, unless Start was to attach to it.
type StartError struct {
	Stage Stage
	Path  string // the executable, or a Runner's name for it; "" if Config named none
	PID   int    // the plugin's process id; 0 if there was none, or a Runner launched it
	ID    string // the Runner's id for it; "" without a Runner
	Hint  string // what the user can do about it; "" if unknown
	// Diagnosis is what the Runner's Diagnose returned, unescaped, at most 4 KiB.
	Diagnosis string
	// Stdout and Stderr are the last 16 KiB at most of what the plugin wrote to each.
	// They are unescaped: escape them before showing them on a terminal, as Error does.
	Stdout, Stderr []byte
	// ExitStatus describes how the plugin ended by itself. It is the zero value if the
	// plugin was still running when the start failed; it was then killed.
	ExitStatus ExitStatus
	Err        error // the failure itself

	attached bool // the plugin was not launched here, and still runs
}

// Unwrap returns e.Err.
func (e *StartError) Unwrap() error { return e.Err }

// Error returns the failure, the hint and the last lines of the plugin's output, on
// several lines.
func (e *StartError) Error() string {
	var b strings.Builder
	b.WriteString("host: starting the plugin")
	if e.attached {
		b.Reset()
		b.WriteString("host: attaching to the plugin")
	}
	if name := who(e.Path, e.PID, e.ID); name != "" {
		b.WriteString(" " + name)
	}
	// The parser's errors begin with "handshake: ", which Stage already tells. The
	// error of a Runner, a Verifier or a Dial may quote the plugin.
	cause := wire.Printable(strings.TrimPrefix(fmt.Sprint(e.Err), "handshake: "), maxErrorText)
	fmt.Fprintf(&b, ": %v: %s", e.Stage, cause)
	if e.ExitStatus.Ended {
		fmt.Fprintf(&b, " (%v)", e.ExitStatus)
	}
	if e.Hint != "" {
		b.WriteString("\n  hint: " + e.Hint)
	}
	if e.Diagnosis != "" {
		showTail(&b, "the Runner", []byte(e.Diagnosis))
	}
	if (e.PID != 0 || e.ID != "") && !e.attached {
		showTail(&b, "stdout", e.Stdout)
		showTail(&b, "stderr", e.Stderr)
	}
	return b.String()
}

// ExitError reports that a plugin ended without having been asked to. [Client.Err]
// returns it, and errors.As finds it in the errors of calls that failed because of it.
type ExitError struct {
	Path   string // the executable, or a Runner's name for it
	PID    int    // 0 if a Runner launched it
	ID     string // the Runner's id for it; "" without a Runner
	Status ExitStatus
	Stderr []byte // the last 16 KiB at most of what it wrote to stderr, unescaped
}

// Error returns the status and the last lines of the plugin's stderr, on several lines.
func (e *ExitError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "host: the plugin %s ended unexpectedly: %v", who(e.Path, e.PID, e.ID), e.Status)
	if len(e.Stderr) > 0 {
		showTail(&b, "stderr", e.Stderr)
	}
	return b.String()
}

// who returns a plugin's path, process id and Runner's id, as far as they are known.
func who(path string, pid int, id string) string {
	var words []string
	if path != "" {
		words = append(words, strconv.Quote(path))
	}
	if pid != 0 {
		words = append(words, fmt.Sprintf("(pid %d)", pid))
	}
	if id != "" {
		words = append(words, fmt.Sprintf("(id %s)", quoted(id)))
	}
	return strings.Join(words, " ")
}

func (p *process) who() string { return who(p.path, p.pid, p.id) }

// problem is an error of one stage of Start, before it becomes a StartError: what
// failed, and what to do about it.
type problem struct {
	stage Stage
	hint  string
	err   error
}

func (p *problem) Error() string { return p.err.Error() }
func (p *problem) Unwrap() error { return p.err }

// problemf returns a problem without a hint. The format may hold %w.
func problemf(stage Stage, format string, args ...any) *problem {
	return &problem{stage: stage, err: fmt.Errorf(format, args...)}
}
