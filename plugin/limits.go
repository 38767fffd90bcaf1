package plugin

import "time"

// Every limit and time-out of the package is here, with its reason. Those of
// the broker are in plugin/internal/broker.
const (
	// defaultDrainTimeout bounds a graceful stop: calls still running when it
	// has passed are cancelled. go-plugin's hosts kill a plugin 2 s after they
	// asked it to stop; this leaves time to remove the socket before that.
	defaultDrainTimeout = 1500 * time.Millisecond

	// abandonTimeout bounds how long a stop waits, after the calls have been cancelled,
	// for handlers that ignore it. They end with the process.
	abandonTimeout = 200 * time.Millisecond

	// stdioPatience is how long printing waits for a host that has read the output and
	// then stopped. A host that reads takes microseconds; one that is stuck delays the
	// plugin once, and for less than its user notices.
	stdioPatience = 500 * time.Millisecond

	// flushTimeout bounds how long a stop waits until the last output has come out of the
	// plugin's own pipes. That takes microseconds unless the machine is stuck, or the
	// host has stopped reading.
	flushTimeout = stdioPatience + 100*time.Millisecond

	// hostGrace is how long a plugin without a lifeline waits for a host to connect after
	// a sign that its host is gone: long enough for a host that has just started it or
	// that connects again, and short enough for the plugin to end within two seconds.
	hostGrace = 500 * time.Millisecond

	// parentInterval is how often the parent process is checked on systems where its end
	// cannot be waited for.
	parentInterval = time.Second

	// orphanTimeout is how long main has to clean up and return after the host's end.
	// Together with hostGrace it is under two seconds.
	orphanTimeout = time.Second

	// defaultStdioBuffer bounds the output that waits for the host, in bytes, both
	// streams together, unless ServeConfig.OutputBuffer is set. It is enough for what a
	// chatty plugin prints before its host listens; a host that never listens costs this
	// much memory.
	defaultStdioBuffer = 1 << 20

	// maxStdioChunk bounds the output in one message, in bytes. With its few bytes of
	// framing the message fits into one HTTP/2 frame of the size that every peer accepts.
	maxStdioChunk = 16<<10 - 64

	// stdioReadSize is how many bytes are read from a pipe at once. A pipe holds 64 KiB
	// on Linux; a quarter of that is worth a system call.
	stdioReadSize = 16 << 10

	// maxHosts bounds the connections of the main server: those of the host, of one that
	// attaches to the plugin later, and of tools that inspect it.
	maxHosts = 64

	// maxSocketPath is the longest path of a unix socket in bytes, without the
	// final NUL: sun_path holds 104 bytes on the BSDs and macOS, 108 on Linux
	// and Windows.
	maxSocketPath      = 107
	maxSocketPathSmall = 103

	// maxErrorLine bounds a line of the error that ends a plugin, in bytes: it holds at
	// most two paths.
	maxErrorLine = 16 << 10
)
