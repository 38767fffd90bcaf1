package wire

import (
	"bytes"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Empty is plugin.Empty and google.protobuf.Empty, which look the same on the
// wire. Unknown fields are checked for form and dropped.
type Empty struct{}

// AppendTo appends m's encoding, which is no bytes at all.
func (m *Empty) AppendTo(b []byte) ([]byte, error) { return b, nil }

// UnmarshalFrom reads m from b. The error is ErrMessage.
func (m *Empty) UnmarshalFrom(b []byte) error {
	if err := eachField(b, func(field) error { return nil }); err != nil {
		return fmt.Errorf("wire: Empty: %w", err)
	}
	return nil
}

// NetworkReady is the Network in tenon's acknowledgement of a [Knock]: the
// listener stands, and the stream may come at once. go-plugin acknowledges a
// moment too early, and with no network. Nobody else looks at the field there.
const NetworkReady = "ready"

// ConnInfo is plugin.ConnInfo, the message of the broker's stream: it says
// where a brokered server listens, or carries a knock when the connection is
// multiplexed.
type ConnInfo struct {
	ServiceID uint32 // the broker's id of the connection
	Network   string // "unix" or "tcp"; at most MaxNetwork bytes
	Address   string // a path or host:port; at most MaxAddress bytes
	Knock     *Knock // nil without multiplexing
}

// Knock is plugin.ConnInfo.Knock: the question whether, and the answer that,
// the next multiplexed stream will be accepted.
type Knock struct {
	Knock bool   // always true in practice
	Ack   bool   // true in the answer
	Error string // why not; empty means yes. At most MaxKnockError bytes
}

// AppendTo appends m's protobuf encoding to b, fields in ascending order. The
// errors are ErrTooLong and ErrUTF8, with b returned unchanged.
func (m *ConnInfo) AppendTo(b []byte) ([]byte, error) {
	if err := m.check(); err != nil {
		return b, fmt.Errorf("wire: ConnInfo: %w", err)
	}
	b = appendUint(b, 1, uint64(m.ServiceID))
	b = appendText(b, 2, m.Network)
	b = appendText(b, 3, m.Address)
	if m.Knock != nil {
		b = protowire.AppendTag(b, 4, protowire.BytesType)
		b = protowire.AppendBytes(b, m.Knock.appendFields(nil))
	}
	return b, nil
}

func (m *ConnInfo) check() error {
	if err := checkText("network", m.Network, MaxNetwork); err != nil {
		return err
	}
	if err := checkText("address", m.Address, MaxAddress); err != nil {
		return err
	}
	if m.Knock != nil {
		return checkText("knock error", m.Knock.Error, MaxKnockError)
	}
	return nil
}

// UnmarshalFrom reads m from b and keeps nothing of b. Unknown fields are
// dropped and the last of a repeated field counts; repeated knocks are merged,
// as protobuf wants. The errors are ErrMessage, ErrTooLong and ErrUTF8; m is
// then the zero value.
func (m *ConnInfo) UnmarshalFrom(b []byte) error {
	*m = ConnInfo{}
	err := eachField(b, func(f field) (err error) {
		switch {
		case f.is(1, protowire.VarintType):
			m.ServiceID = uint32(f.n)
		case f.is(2, protowire.BytesType):
			m.Network, err = textField("network", f, MaxNetwork)
		case f.is(3, protowire.BytesType):
			m.Address, err = textField("address", f, MaxAddress)
		case f.is(4, protowire.BytesType):
			if m.Knock == nil {
				m.Knock = new(Knock)
			}
			err = m.Knock.merge(f.b)
		}
		return err
	})
	if err != nil {
		*m = ConnInfo{}
		return fmt.Errorf("wire: ConnInfo: %w", err)
	}
	return nil
}

// AppendTo appends k's protobuf encoding to b. The errors are ErrTooLong and
// ErrUTF8, with b returned unchanged.
func (k *Knock) AppendTo(b []byte) ([]byte, error) {
	if err := checkText("knock error", k.Error, MaxKnockError); err != nil {
		return b, fmt.Errorf("wire: Knock: %w", err)
	}
	return k.appendFields(b), nil
}

// UnmarshalFrom reads k from b and keeps nothing of b. The errors are
// ErrMessage, ErrTooLong and ErrUTF8; k is then the zero value.
func (k *Knock) UnmarshalFrom(b []byte) error {
	*k = Knock{}
	if err := k.merge(b); err != nil {
		*k = Knock{}
		return fmt.Errorf("wire: Knock: %w", err)
	}
	return nil
}

func (k *Knock) appendFields(b []byte) []byte {
	b = appendBool(b, 1, k.Knock)
	b = appendBool(b, 2, k.Ack)
	return appendText(b, 3, k.Error)
}

func (k *Knock) merge(b []byte) error {
	return eachField(b, func(f field) (err error) {
		switch {
		case f.is(1, protowire.VarintType):
			k.Knock = protowire.DecodeBool(f.n)
		case f.is(2, protowire.VarintType):
			k.Ack = protowire.DecodeBool(f.n)
		case f.is(3, protowire.BytesType):
			k.Error, err = textField("knock error", f, MaxKnockError)
		}
		return err
	})
}

// Channel is plugin.StdioData.Channel. It is an open enum: other values than
// the constants arrive as they are and are to be ignored.
type Channel int32

// The channels of StdioData.
const (
	ChannelInvalid Channel = 0
	ChannelStdout  Channel = 1
	ChannelStderr  Channel = 2
)

// String returns the channel's name as in the protocol.
func (c Channel) String() string {
	switch c {
	case ChannelInvalid:
		return "INVALID"
	case ChannelStdout:
		return "STDOUT"
	case ChannelStderr:
		return "STDERR"
	}
	return fmt.Sprintf("Channel(%d)", int32(c))
}

// StdioData is plugin.StdioData: bytes that the plugin wrote to os.Stdout or
// os.Stderr. Its size is bounded by the message limit of the connection.
type StdioData struct {
	Channel Channel
	Data    []byte
}

// AppendTo appends m's protobuf encoding to b. It never fails.
func (m *StdioData) AppendTo(b []byte) ([]byte, error) {
	// An enum travels as the varint of its sign-extended value.
	b = appendUint(b, 1, uint64(int64(m.Channel)))
	return appendBytes(b, 2, m.Data), nil
}

// UnmarshalFrom reads m from b; Data is a copy. The error is ErrMessage; m is
// then the zero value.
func (m *StdioData) UnmarshalFrom(b []byte) error {
	*m = StdioData{}
	var data []byte // aliases b until the last of a repeated field is known
	err := eachField(b, func(f field) error {
		switch {
		case f.is(1, protowire.VarintType):
			m.Channel = Channel(int32(f.n))
		case f.is(2, protowire.BytesType):
			data = f.b
		}
		return nil
	})
	if err != nil {
		*m = StdioData{}
		return fmt.Errorf("wire: StdioData: %w", err)
	}
	if len(data) > 0 {
		m.Data = bytes.Clone(data)
	}
	return nil
}
