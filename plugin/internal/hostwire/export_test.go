package hostwire

// Limits, for tests.
const (
	MaxLogLine   = maxLogLine
	MaxLogAttrs  = maxLogAttrs
	MaxLogKey    = maxLogKey
	MaxLogDepth  = maxLogDepth
	MaxLogValues = maxLogValues
)
