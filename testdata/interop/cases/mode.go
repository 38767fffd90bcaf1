package cases

// Mode is what a host asks of its plugin, besides to serve.
type Mode struct {
	AutoMTLS  bool
	Multiplex bool // all connections over one
}

// String returns the mode's name.
func (m Mode) String() string {
	switch {
	case m.AutoMTLS && m.Multiplex:
		return "both" // AutoMTLS and multiplexed
	case m.AutoMTLS:
		return "AutoMTLS"
	case m.Multiplex:
		return "multiplexed"
	}
	return "plain"
}
