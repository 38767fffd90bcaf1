package wire

import (
	"bytes"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tenonrpc/tenon/wire/fields"
)

// Empty is plugin.Empty and google.protobuf.Empty, which have the same encoding. Unknown
// fields are checked for form and dropped.
type Empty struct{}

// AppendTo appends m's encoding, which has no bytes.
func (m *Empty) AppendTo(b []byte) ([]byte, error) { return b, nil }

// UnmarshalFrom parses b as m. The error wraps fields.ErrMessage.
func (m *Empty) UnmarshalFrom(b []byte) error {
	if err := fields.Each(b, func(fields.Field) error { return nil }); err != nil {
		return fmt.Errorf("wire: Empty: %w", err)
	}
	return nil
}

// NetworkReady is the Network of tenon's acknowledgement of a [Knock]: the listener
// exists, and the stream may be opened at once. go-plugin acknowledges a moment too
// early, with an empty network. Other libraries ignore the field there.
const NetworkReady = "ready"

// ConnInfo is plugin.ConnInfo, the message of the broker's stream: it announces where a
// brokered server listens, or carries a knock if connections are multiplexed.
type ConnInfo struct {
	ServiceID uint32 // the broker's id of the connection
	Network   string // "unix" or "tcp"; at most maxNetwork bytes
	Address   string // a path or host:port; at most maxAddress bytes
	Knock     *Knock // nil without multiplexing
}

// Knock is plugin.ConnInfo.Knock: it asks whether the next multiplexed stream will be
// accepted, or answers that.
type Knock struct {
	Knock bool   // always true in practice
	Ack   bool   // true in the answer
	Error string // why not; empty means yes; at most maxKnockError bytes
}

// AppendTo appends m's protobuf encoding to b, with the fields in ascending order. The
// errors wrap fields.ErrTooLong or fields.ErrUTF8; b is then returned unchanged.
func (m *ConnInfo) AppendTo(b []byte) ([]byte, error) {
	if err := m.check(); err != nil {
		return b, fmt.Errorf("wire: ConnInfo: %w", err)
	}
	b = fields.AppendUint(b, 1, uint64(m.ServiceID))
	b = fields.AppendBytes(b, 2, m.Network)
	b = fields.AppendBytes(b, 3, m.Address)
	if m.Knock != nil {
		b = fields.AppendPresent(b, 4, m.Knock.appendFields(nil))
	}
	return b, nil
}

func (m *ConnInfo) check() error {
	if err := fields.CheckText("network", m.Network, maxNetwork); err != nil {
		return err
	}
	if err := fields.CheckText("address", m.Address, maxAddress); err != nil {
		return err
	}
	if m.Knock != nil {
		return fields.CheckText("knock error", m.Knock.Error, maxKnockError)
	}
	return nil
}

// UnmarshalFrom parses b as m and keeps no reference to b. Unknown fields are dropped and
// the last of a repeated field counts; repeated knocks are merged, as protobuf requires.
// The errors wrap fields.ErrMessage, fields.ErrTooLong or fields.ErrUTF8; m is then the
// zero value.
func (m *ConnInfo) UnmarshalFrom(b []byte) error {
	*m = ConnInfo{}
	err := fields.Each(b, func(f fields.Field) (err error) {
		switch {
		case f.Is(1, protowire.VarintType):
			m.ServiceID = uint32(f.N)
		case f.Is(2, protowire.BytesType):
			m.Network, err = fields.Text("network", f, maxNetwork)
		case f.Is(3, protowire.BytesType):
			m.Address, err = fields.Text("address", f, maxAddress)
		case f.Is(4, protowire.BytesType):
			if m.Knock == nil {
				m.Knock = new(Knock)
			}
			err = m.Knock.merge(f.B)
		}
		return err
	})
	if err != nil {
		*m = ConnInfo{}
		return fmt.Errorf("wire: ConnInfo: %w", err)
	}
	return nil
}

func (k *Knock) appendFields(b []byte) []byte {
	b = fields.AppendBool(b, 1, k.Knock)
	b = fields.AppendBool(b, 2, k.Ack)
	return fields.AppendBytes(b, 3, k.Error)
}

func (k *Knock) merge(b []byte) error {
	return fields.Each(b, func(f fields.Field) (err error) {
		switch {
		case f.Is(1, protowire.VarintType):
			k.Knock = protowire.DecodeBool(f.N)
		case f.Is(2, protowire.VarintType):
			k.Ack = protowire.DecodeBool(f.N)
		case f.Is(3, protowire.BytesType):
			k.Error, err = fields.Text("knock error", f, maxKnockError)
		}
		return err
	})
}

// Channel is plugin.StdioData.Channel. It is an open enum: values other than the
// constants, such as 0 (INVALID), are kept as they are and should be ignored.
type Channel int32

// The channels of StdioData.
const (
	ChannelStdout Channel = 1
	ChannelStderr Channel = 2
)

// StdioData is plugin.StdioData: bytes that the plugin wrote to os.Stdout or
// os.Stderr. Its size is bounded by the message limit of the connection.
type StdioData struct {
	Channel Channel
	Data    []byte
}

// AppendTo appends m's protobuf encoding to b. It never fails.
func (m *StdioData) AppendTo(b []byte) ([]byte, error) {
	b = fields.AppendInt32(b, 1, int32(m.Channel))
	return fields.AppendBytes(b, 2, m.Data), nil
}

// UnmarshalFrom parses b as m; Data is a copy. The error wraps fields.ErrMessage; m is
// then the zero value.
func (m *StdioData) UnmarshalFrom(b []byte) error {
	*m = StdioData{}
	var data []byte // aliases b until the last of a repeated field is known
	err := fields.Each(b, func(f fields.Field) error {
		switch {
		case f.Is(1, protowire.VarintType):
			m.Channel = Channel(int32(f.N))
		case f.Is(2, protowire.BytesType):
			data = f.B
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
