package yamux

// The kinds of bad headers.
var (
	ErrShort   = errShort
	ErrVersion = errVersion
	ErrType    = errType
)

const GiveWay = giveWay
