package wire

// The kinds of faults, and limits, for tests.
var (
	ErrPort        = errPort
	ErrPortRange   = errPortRange
	ErrVersionList = errVersionList
	ErrClientCert  = errClientCert
	ErrEnvBool     = errEnvBool
	ErrEnvLength   = errEnvLength
	ErrEnvControl  = errEnvControl
	ErrPrefixFlag  = errPrefixFlag
	ErrShortPrefix = errShortPrefix
	ErrTimeout     = errTimeout
	ErrBin         = errBin
	ErrLifeline    = errLifeline
)

type EnvError = envError

const MaxAddress = maxAddress
