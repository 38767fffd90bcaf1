package supervise

import "time"

// The defaults of Config.
const (
	// defaultFailures with the default back-off is some half a minute of trying: a
	// plugin that needs longer than that to be repaired needs a person.
	defaultFailures = 10
	// defaultStable is far above the time that a plugin needs to crash at start.
	defaultStable = time.Minute

	// A plugin that works answers a check in a millisecond. Three in a row that take
	// five seconds each are no pause of a collector or of a busy machine.
	defaultInterval  = 10 * time.Second
	defaultTimeout   = 5 * time.Second
	defaultUnhealthy = 3
	// defaultStartup is what host.DefaultStartTimeout is to the start.
	defaultStartup = time.Minute

	// defaultLook finds a leak of 100 MB a second within half a gigabyte.
	defaultLook = 5 * time.Second
	// defaultDrain is for calls of people who wait; longer ones are rare.
	defaultDrain = 10 * time.Second
	// defaultTrial is one check, and what a plugin meets in its first seconds.
	defaultTrial = 10 * time.Second
)

const (
	// startupPause is the time between two checks of a plugin that is not yet healthy.
	startupPause = 100 * time.Millisecond
	// keptExits is how many ends of processes are remembered. Each may hold some 32 KiB
	// of what the plugin printed last.
	keptExits = 8
	// maxExitText bounds, in bytes, what Exit.String shows of an error: a line.
	maxExitText = 200
	// maxEvents is how many events wait for Config.Event.
	maxEvents = 256
)
