package plugin

// Reattach is the record of a running plugin: how to reach it, how to recognize its
// process and its certificate, and, if requested, the key by which the plugin recognizes
// its host. TestMode.Ready receives one. Package host makes others, stores them in files,
// and attaches to plugins with them.
type Reattach struct {
	Protocol        string // always "grpc"
	ProtocolVersion int    // the application's; 0 if the writer did not say
	PID             int    // the plugin's; only StartTime proves that it is still the same process
	Test            bool   // the plugin belongs to a test: never end it
	Network         string // "unix" or "tcp"
	Address         string // a path or host:port, at most 4096 bytes

	// StartTime is when the process started, in the system's own unit (clock ticks since
	// boot on Linux). 0 means unknown; the process must then never be signalled.
	StartTime uint64
	// BootID identifies the boot that StartTime counts from. "" means unknown.
	BootID string
	// Multiplexed reports whether the plugin multiplexes brokered connections.
	Multiplexed bool
	// Certificate is the plugin's certificate in DER, at most 16 KiB. Nil means no TLS.
	Certificate []byte
	// HostCertificate is the host's certificate in DER, which the plugin trusts under
	// AutoMTLS, and HostKey its private key in PKCS #8, at most 4 KiB. HostKey is a
	// secret: whoever has it can use the plugin. Both are nil in a record without the
	// key.
	HostCertificate, HostKey []byte
}
