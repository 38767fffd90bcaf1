package plugin

// Reattach is the record of a plugin that runs: how to reach it, and enough to
// know the process again, to check its certificate, and, if it was asked for, to
// be known by the plugin again. TestMode.Ready is handed one; package host makes
// others, keeps them in files, and attaches by them.
type Reattach struct {
	Protocol        string // always "grpc"
	ProtocolVersion int    // the application's; 0 if the writer did not say
	PID             int    // of the plugin; nothing but StartTime proves that it still is
	Test            bool   // the plugin belongs to a test: never end it
	Network         string // "unix" or "tcp"
	Address         string // a path or host:port, at most 4096 bytes

	// StartTime is when the process started, in the system's own unit (clock
	// ticks since boot on Linux); 0 if it is not known, and then the process
	// must never be signalled.
	StartTime uint64
	// BootID is the boot in which StartTime counts, "" if it is not known.
	BootID string
	// Multiplexed reports that the plugin multiplexes brokered connections.
	Multiplexed bool
	// Certificate is the plugin's certificate in DER, nil without TLS; at most
	// 16 KiB.
	Certificate []byte
	// HostCertificate is the host's certificate in DER, which the plugin trusts
	// under AutoMTLS, and HostKey its private key in PKCS #8, at most 4 KiB.
	// HostKey is a secret: whoever has it can use the plugin. Both are nil in a
	// record that is not meant to be one.
	HostCertificate, HostKey []byte
}
