package host

import (
	"runtime"
	"time"
)

// Every limit and time-out of this package.
const (
	// DefaultStartTimeout bounds Start if Config.StartTimeout is zero. It is the time a
	// cold machine may need to page in a large plugin and run its init functions; a
	// healthy plugin needs milliseconds.
	DefaultStartTimeout = time.Minute

	// DefaultStopTimeout bounds Close if Config.StopTimeout is zero: long enough to
	// flush a file, short enough for someone who pressed Ctrl-C.
	DefaultStopTimeout = 5 * time.Second

	// busyAttempts is how often a program that is open for writing is started, and
	// busyPause the first pause in between; it doubles each time. Children that were
	// forked while the program was written have it open for less than a millisecond, or
	// for some milliseconds on a busy machine. All pauses together are a second; after
	// that, somebody writes for longer.
	busyAttempts = 11
	busyPause    = time.Millisecond

	// gracePercent is the share of the stop time that a plugin has to end after the
	// Shutdown call; the rest is for after SIGTERM.
	gracePercent = 60

	// stdioLinger is how long the stdio stream is kept open after Shutdown was sent:
	// the plugin's last output still arrives, and a plugin that waits for its open
	// streams to end before it answers does not wait for long.
	stdioLinger = 250 * time.Millisecond

	// killWait is how long Kill waits for the kernel to report the end of a
	// process that was sent SIGKILL. Only a process stuck in a system call
	// takes longer than a moment.
	killWait = 2 * time.Second

	// diagnoseTimeout bounds a Runner's Diagnose, and maxDiagnosis how much of its
	// answer is kept, in bytes.
	diagnoseTimeout = 2 * time.Second
	maxDiagnosis    = 4 << 10

	// exitInterval is how often a process that is not a child is checked, on systems
	// where its end cannot be waited for.
	exitInterval = time.Second

	// drainGrace is how long the plugin's pipes are still read after the plugin has
	// ended. Without grandchildren the end of file is there at once; a grandchild that
	// holds a pipe must not hold up the host.
	drainGrace = 250 * time.Millisecond

	// drainLimit bounds how long the plugin's last output may take, from its pipes to
	// the application's writers, however steadily it goes on: the megabyte that may
	// wait takes milliseconds, unless a writer talks to a network. Twice this and the
	// pauses of drainGrace are less than killWait.
	drainLimit = 750 * time.Millisecond

	// defaultOutputBuffer is how much of the plugin's output waits for the
	// application's writers, in bytes, if Config.Output.Buffer is zero: what a chatty
	// plugin prints while a terminal scrolls.
	defaultOutputBuffer = 1 << 20

	// outputPatience is how long the plugin's output is left unread because a writer
	// has stopped taking any. A writer that works takes microseconds, or a second on a
	// machine that swaps; one that is stuck holds the plugin up once.
	outputPatience = 2 * time.Second

	// exitStatusWait is how long a call that failed because the connection broke waits
	// for the plugin's exit status, so that its error can include it.
	exitStatusWait = 100 * time.Millisecond

	// exitNoticeWait is how long a Start that failed because the plugin's stdout has
	// ended waits for the plugin's end, so that its error can include how. Only a
	// plugin that closed its stdout and goes on takes all of it.
	exitNoticeWait = time.Second

	// redialMin and redialMax bound the pause between two attempts to connect to a
	// plugin that lives and has dropped the connection; it doubles each time. A plugin
	// that only closed the connection is there at once; one that does not listen any
	// more, or hangs up as soon as it is connected to, should not be dialled all the
	// time.
	redialMin = 20 * time.Millisecond
	redialMax = 5 * time.Second

	// maxTail is how much of the end of each of the plugin's streams is kept
	// for errors, in bytes: a Go panic with a few goroutines fits.
	maxTail = 16 << 10

	// maxLogLine is the longest line that is parsed and logged as one record,
	// in bytes. Longer ones become several records; nothing is lost.
	maxLogLine = 64 << 10
	// maxMessage bounds a record's message, in bytes: a line with everything in it
	// escaped, which makes at most four bytes of one.
	maxMessage = 4 * maxLogLine

	// maxCrash is how much of a crash report is logged as one record, in bytes: that of
	// a program with hundreds of goroutines fits. A longer one becomes several records.
	maxCrash = 256 << 10

	// crashWait is how long a crash report is held for its next line. The runtime
	// writes it at once, and the process ends with it; this matters for plugins that
	// live on after a line that looks like a crash.
	crashWait = time.Second

	// pipeRead is how much is read at a time from one of the plugin's four pipes, in
	// bytes. Each has a buffer of that size as long as the plugin runs, and most have
	// nothing to read.
	pipeRead = 4 << 10
	// outputPiece is the size of one piece of the plugin's output that waits for the
	// application's writers, in bytes: half of what a Linux pipe holds.
	outputPiece = 32 << 10

	// shownLines and shownColumns bound what an error's text shows of each
	// stream; the error's fields hold more.
	shownLines   = 24
	shownColumns = 240

	// maxErrorText bounds the text of the cause within the text of a StartError, in
	// bytes.
	maxErrorText = 4 << 10

	// maxSocketName is the longest name of a plugin's socket in its directory, with the
	// slash before it, in bytes: what package plugin and go-plugin make.
	maxSocketName = 17

	// socketPathLinux and socketPathOthers are the longest paths of unix sockets
	// in bytes, without the terminating zero.
	socketPathLinux  = 107
	socketPathOthers = 103

	// maxSwept bounds how many directory entries the search for what dead hosts have
	// left looks at, and dirTries how often a directory that a concurrent sweep removed
	// is made again: hosts that start at the same moment all sweep, and a try takes
	// microseconds.
	maxSwept = 4096
	dirTries = 64

	// maxParents bounds how many directories are searched that way in the life of a
	// process: a host has one or two, unless it uses another Config.Sockets.TempDir for
	// each plugin.
	maxParents = 16

	// maxVerified is the largest plugin that is copied to be verified, in bytes.
	// The copy may be in memory; the largest plugins in use have some hundred
	// MiB.
	maxVerified = 2 << 30

	// copySize is the size of one read and write of such a copy, in bytes.
	copySize = 256 << 10

	// maxWithheld is how many of the variables that a plugin does not get are named in
	// the log, and maxNameShown how much of each name is shown, in bytes: a terminal
	// full.
	maxWithheld  = 100
	maxNameShown = 64

	// firstExtraFile is the descriptor that the first inherited file has in the
	// plugin, after its three standard streams.
	firstExtraFile = 3

	// minPort and maxPort are the TCP ports offered to plugins that cannot
	// listen on unix sockets: the protocol's traditional range.
	minPort = 10000
	maxPort = 25000

	// maxRecord bounds a reattach record, and the variable with several, in bytes: room
	// for maxProviders usual entries of about 200 bytes.
	maxRecord = 64 << 10

	// maxProviders bounds the plugins in the variable.
	maxProviders = 256

	// maxProviderName bounds the name of such a plugin in bytes.
	maxProviderName = 1024

	// maxHostKey bounds the private key in a record, in bytes of PKCS #8: P-521,
	// the largest in use, needs 241.
	maxHostKey = 4 << 10

	// maxPID is the largest process id, which is an int32.
	maxPID = 1<<31 - 1

	// maxBootID bounds the boot id in bytes; Linux's is a UUID of 36.
	maxBootID = 64
)

// maxSocketPath returns this system's limit for the paths of unix sockets.
func maxSocketPath() int { return maxSocketPathOn(runtime.GOOS) }

func maxSocketPathOn(goos string) int {
	switch goos {
	case "linux", "windows":
		return socketPathLinux
	}
	return socketPathOthers
}
