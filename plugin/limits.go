package plugin

import "time"

// Every limit and time-out of the package is here, with its reason. Those of
// the broker are in plugin/internal/broker.
const (
	// defaultDrainTimeout bounds a graceful stop: calls still running when it
	// has passed are cancelled. go-plugin's hosts kill a plugin 2 s after they
	// asked it to stop; this leaves time to remove the socket before that.
	defaultDrainTimeout = 1500 * time.Millisecond

	// abandonTimeout bounds how long a stop waits, after the calls have been
	// cancelled, for handlers that do not notice. They end with the process.
	abandonTimeout = 200 * time.Millisecond

	// stdioPatience is how long printing waits for a host that reads the output
	// and has stopped to take any of it. A host that reads takes microseconds; one
	// that is stuck holds the plugin up once, and for less than its user notices.
	stdioPatience = 500 * time.Millisecond

	// flushTimeout bounds how long a stop waits for what was printed last to
	// come out of its own pipes. That takes microseconds unless the machine
	// is stuck, or a host that has stopped to read.
	flushTimeout = stdioPatience + 100*time.Millisecond

	// hostGrace is how long a plugin without a lifeline waits for a host to
	// connect, after it has seen a sign that its host is gone: enough for a
	// host that has just launched it or that connects anew, and short enough
	// for the plugin to be gone within two seconds.
	hostGrace = 500 * time.Millisecond

	// parentInterval is how often the parent process is looked at, on systems
	// where its end cannot be waited for.
	parentInterval = time.Second

	// orphanTimeout is how long main has after the host's end to clean up and
	// return. With hostGrace it is under two seconds.
	orphanTimeout = time.Second

	// defaultStdioBuffer bounds the output that waits for the host, in bytes, both
	// streams together, unless ServeConfig.OutputBuffer says otherwise. It is enough for what a chatty plugin prints before
	// its host listens; a host that never listens costs this much memory.
	defaultStdioBuffer = 1 << 20

	// maxStdioChunk bounds one message of output. With its few bytes of
	// framing it fits into one HTTP/2 frame of the size that every peer takes.
	maxStdioChunk = 16<<10 - 64

	// stdioReadSize is how much is read from a pipe at once. Linux gives a
	// pipe 64 KiB; a quarter of it is a read worth its system call.
	stdioReadSize = 16 << 10

	// maxHosts bounds the connections of the main server: those of the host, of
	// one that attaches to the plugin later, and of tools that look at it.
	maxHosts = 64

	// maxSocketPath is the longest path of a unix socket in bytes, without the
	// final NUL: sun_path holds 104 bytes on the BSDs and macOS, 108 on Linux
	// and Windows.
	maxSocketPath      = 107
	maxSocketPathSmall = 103

	// maxErrorLine bounds a line of the error that ends a plugin, in bytes: it has
	// two paths at most.
	maxErrorLine = 16 << 10
)
