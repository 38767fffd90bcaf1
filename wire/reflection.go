package wire

import (
	"bytes"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Limits of the messages of grpc.reflection. AppendTo and UnmarshalFrom both
// refuse what exceeds them.
const (
	// MaxReflectionName bounds every name in a reflection message, in bytes:
	// hosts, file paths and full protobuf names. PATH_MAX is 4096.
	MaxReflectionName = 4 << 10

	// MaxReflectionItems bounds the files, services or extension numbers in
	// one response. The largest public schemas have some thousand files;
	// past the limit, empty items would cost more memory than bytes.
	MaxReflectionItems = 1 << 16

	// MaxReflectionError bounds the text of an error response, in bytes. It
	// is a sentence that may quote a name.
	MaxReflectionError = 8 << 10
)

// ReflectionKind says what a [ReflectionRequest] asks for. Its values are the
// field numbers of the oneof message_request.
type ReflectionKind int32

// The kinds of requests.
const (
	// ReflectionNoRequest is a request without a kind, or of one that is not
	// known here.
	ReflectionNoRequest               ReflectionKind = 0
	ReflectionFileByFilename          ReflectionKind = 3
	ReflectionFileContainingSymbol    ReflectionKind = 4
	ReflectionFileContainingExtension ReflectionKind = 5
	ReflectionAllExtensionNumbers     ReflectionKind = 6
	ReflectionListServices            ReflectionKind = 7
)

// ReflectionRequest is the ServerReflectionRequest of grpc.reflection.v1 and
// of v1alpha, which look the same on the wire.
type ReflectionRequest struct {
	// Host is field 1; servers give it back as ReflectionResponse.ValidHost.
	Host string
	Kind ReflectionKind
	// Name is what is asked about: a file's path, a full name, the extended
	// message's full name, or with ReflectionListServices a text without
	// meaning. At most MaxReflectionName bytes, as Host.
	Name string
	// ExtensionNumber is used with ReflectionFileContainingExtension only.
	ExtensionNumber int32
}

// AppendTo appends m's protobuf encoding to b. An unknown Kind is encoded as
// no request. The errors are ErrTooLong and ErrUTF8, with b returned unchanged.
func (m *ReflectionRequest) AppendTo(b []byte) ([]byte, error) {
	if err := m.check(); err != nil {
		return b, fmt.Errorf("wire: ReflectionRequest: %w", err)
	}
	return m.appendFields(b), nil
}

func (m *ReflectionRequest) check() error {
	if err := checkText("host", m.Host, MaxReflectionName); err != nil {
		return err
	}
	return checkText("name", m.Name, MaxReflectionName)
}

func (m *ReflectionRequest) appendFields(b []byte) []byte {
	b = appendText(b, 1, m.Host)
	switch m.Kind {
	case ReflectionFileByFilename, ReflectionFileContainingSymbol,
		ReflectionAllExtensionNumbers, ReflectionListServices:
		b = appendPresent(b, protowire.Number(m.Kind), m.Name)
	case ReflectionFileContainingExtension:
		extension := appendText(nil, 1, m.Name)
		extension = appendInt32(extension, 2, m.ExtensionNumber)
		b = appendPresent(b, protowire.Number(m.Kind), extension)
	}
	return b
}

// UnmarshalFrom reads m from b and keeps nothing of b. Unknown fields are
// dropped, and of several requests in one message the last counts. The errors
// are ErrMessage, ErrTooLong and ErrUTF8; m is then the zero value.
func (m *ReflectionRequest) UnmarshalFrom(b []byte) error {
	*m = ReflectionRequest{}
	if err := m.merge(b); err != nil {
		*m = ReflectionRequest{}
		return fmt.Errorf("wire: ReflectionRequest: %w", err)
	}
	return nil
}

func (m *ReflectionRequest) merge(b []byte) error {
	return eachField(b, func(f field) (err error) {
		if f.typ != protowire.BytesType {
			return nil
		}
		switch kind := ReflectionKind(f.num); {
		case f.num == 1:
			m.Host, err = textField("host", f, MaxReflectionName)
		case kind == ReflectionFileContainingExtension:
			if m.Kind != kind {
				*m = ReflectionRequest{Host: m.Host, Kind: kind}
			}
			err = m.mergeExtension(f.b)
		case kind == ReflectionFileByFilename, kind == ReflectionFileContainingSymbol,
			kind == ReflectionAllExtensionNumbers, kind == ReflectionListServices:
			*m = ReflectionRequest{Host: m.Host, Kind: kind}
			m.Name, err = textField("name", f, MaxReflectionName)
		}
		return err
	})
}

// mergeExtension reads an ExtensionRequest into m.
func (m *ReflectionRequest) mergeExtension(b []byte) error {
	return eachField(b, func(f field) (err error) {
		switch {
		case f.is(1, protowire.BytesType):
			m.Name, err = textField("name", f, MaxReflectionName)
		case f.is(2, protowire.VarintType):
			m.ExtensionNumber = int32(f.n)
		}
		return err
	})
}

// ReflectionResponseKind says what a [ReflectionResponse] holds. Its values
// are the field numbers of the oneof message_response.
type ReflectionResponseKind int32

// The kinds of responses.
const (
	// ReflectionNoResponse is a response without a kind, or of one that is
	// not known here.
	ReflectionNoResponse       ReflectionResponseKind = 0
	ReflectionFiles            ReflectionResponseKind = 4
	ReflectionExtensionNumbers ReflectionResponseKind = 5
	ReflectionServices         ReflectionResponseKind = 6
	ReflectionError            ReflectionResponseKind = 7
)

// ReflectionResponse is the ServerReflectionResponse of grpc.reflection.v1 and
// of v1alpha, which look the same on the wire.
type ReflectionResponse struct {
	ValidHost       string             // field 1: the request's Host
	OriginalRequest *ReflectionRequest // field 2: the request that this answers
	Kind            ReflectionResponseKind

	// Files, with ReflectionFiles: serialized FileDescriptorProtos, at most
	// MaxReflectionItems.
	Files [][]byte

	// TypeName and ExtensionNumbers, with ReflectionExtensionNumbers: the
	// message's full name and the numbers of all its known extensions, at
	// most MaxReflectionItems.
	TypeName         string
	ExtensionNumbers []int32

	// Services, with ReflectionServices: the full names of the server's
	// services, at most MaxReflectionItems.
	Services []string

	// ErrorCode, a gRPC status code, and ErrorMessage, at most
	// MaxReflectionError bytes, with ReflectionError.
	ErrorCode    int32
	ErrorMessage string
}

// AppendTo appends m's protobuf encoding to b: what belongs to its Kind and
// nothing else. The errors are ErrTooLong and ErrUTF8, with b returned
// unchanged.
func (m *ReflectionResponse) AppendTo(b []byte) ([]byte, error) {
	if err := m.check(); err != nil {
		return b, fmt.Errorf("wire: ReflectionResponse: %w", err)
	}
	b = appendText(b, 1, m.ValidHost)
	if m.OriginalRequest != nil {
		b = appendPresent(b, 2, m.OriginalRequest.appendFields(nil))
	}
	if m.Kind == ReflectionFiles {
		// Descriptors can be large: their message is not built apart and
		// then copied, as the small ones are.
		return m.appendFiles(b), nil
	}
	var body []byte
	switch m.Kind {
	case ReflectionExtensionNumbers:
		body = appendText(body, 1, m.TypeName)
		if len(m.ExtensionNumbers) > 0 {
			var packed []byte
			for _, n := range m.ExtensionNumbers {
				packed = protowire.AppendVarint(packed, uint64(int64(n)))
			}
			body = appendPresent(body, 2, packed)
		}
	case ReflectionServices:
		for _, name := range m.Services {
			body = appendPresent(body, 1, appendText(nil, 1, name))
		}
	case ReflectionError:
		body = appendInt32(body, 1, m.ErrorCode)
		body = appendText(body, 2, m.ErrorMessage)
	default:
		return b, nil
	}
	return appendPresent(b, protowire.Number(m.Kind), body), nil
}

// appendFiles appends the response of kind ReflectionFiles.
func (m *ReflectionResponse) appendFiles(b []byte) []byte {
	size := 0
	for _, file := range m.Files {
		size += protowire.SizeTag(1) + protowire.SizeBytes(len(file))
	}
	b = protowire.AppendTag(b, protowire.Number(m.Kind), protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	for _, file := range m.Files {
		b = appendPresent(b, 1, file)
	}
	return b
}

// check looks at the fields of every kind, so that a message that is accepted
// with one is accepted with all.
func (m *ReflectionResponse) check() error {
	if err := checkText("valid host", m.ValidHost, MaxReflectionName); err != nil {
		return err
	}
	if m.OriginalRequest != nil {
		if err := m.OriginalRequest.check(); err != nil {
			return err
		}
	}
	if max(len(m.Files), len(m.ExtensionNumbers), len(m.Services)) > MaxReflectionItems {
		return errReflectionItems
	}
	if err := checkText("type name", m.TypeName, MaxReflectionName); err != nil {
		return err
	}
	for _, name := range m.Services {
		if err := checkText("service", name, MaxReflectionName); err != nil {
			return err
		}
	}
	return checkText("error message", m.ErrorMessage, MaxReflectionError)
}

// errReflectionItems reports more than MaxReflectionItems.
var errReflectionItems = fmt.Errorf("%w of %d items", ErrTooLong, MaxReflectionItems)

// UnmarshalFrom reads m from b and keeps nothing of b. Unknown fields are
// dropped, and of several kinds of responses in one message the last counts.
// The errors are ErrMessage, ErrTooLong and ErrUTF8; m is then the zero value.
func (m *ReflectionResponse) UnmarshalFrom(b []byte) error {
	*m = ReflectionResponse{}
	if err := m.merge(b); err != nil {
		*m = ReflectionResponse{}
		return fmt.Errorf("wire: ReflectionResponse: %w", err)
	}
	return nil
}

func (m *ReflectionResponse) merge(b []byte) error {
	return eachField(b, func(f field) (err error) {
		if f.typ != protowire.BytesType {
			return nil
		}
		switch f.num {
		case 1:
			m.ValidHost, err = textField("valid host", f, MaxReflectionName)
			return err
		case 2:
			if m.OriginalRequest == nil {
				m.OriginalRequest = new(ReflectionRequest)
			}
			return m.OriginalRequest.merge(f.b)
		}
		kind := ReflectionResponseKind(f.num)
		visit := m.visitor(kind)
		if visit == nil {
			return nil
		}
		if m.Kind != kind {
			*m = ReflectionResponse{ValidHost: m.ValidHost, OriginalRequest: m.OriginalRequest, Kind: kind}
		}
		return eachField(f.b, visit)
	})
}

// visitor returns the function that takes in the fields of a response of the
// given kind, or nil if the kind is not known.
func (m *ReflectionResponse) visitor(kind ReflectionResponseKind) func(field) error {
	switch kind {
	case ReflectionFiles:
		return m.visitFile
	case ReflectionExtensionNumbers:
		return m.visitExtensionNumber
	case ReflectionServices:
		return m.visitService
	case ReflectionError:
		return m.visitError
	}
	return nil
}

func (m *ReflectionResponse) visitFile(f field) error {
	if !f.is(1, protowire.BytesType) {
		return nil
	}
	if len(m.Files) == MaxReflectionItems {
		return errReflectionItems
	}
	m.Files = append(m.Files, bytes.Clone(f.b))
	return nil
}

func (m *ReflectionResponse) visitExtensionNumber(f field) (err error) {
	switch {
	case f.is(1, protowire.BytesType):
		m.TypeName, err = textField("type name", f, MaxReflectionName)
	case f.is(2, protowire.VarintType): // one number by itself
		err = m.addExtensionNumber(f.n)
	case f.is(2, protowire.BytesType): // packed, which is proto3's rule
		for b := f.b; len(b) > 0 && err == nil; {
			v, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return fmt.Errorf("%w: bad extension number", ErrMessage)
			}
			b = b[n:]
			err = m.addExtensionNumber(v)
		}
	}
	return err
}

func (m *ReflectionResponse) addExtensionNumber(v uint64) error {
	if len(m.ExtensionNumbers) == MaxReflectionItems {
		return errReflectionItems
	}
	m.ExtensionNumbers = append(m.ExtensionNumbers, int32(v))
	return nil
}

func (m *ReflectionResponse) visitService(f field) error {
	if !f.is(1, protowire.BytesType) {
		return nil
	}
	if len(m.Services) == MaxReflectionItems {
		return errReflectionItems
	}
	var name string
	err := eachField(f.b, func(f field) (err error) {
		if f.is(1, protowire.BytesType) {
			name, err = textField("service", f, MaxReflectionName)
		}
		return err
	})
	m.Services = append(m.Services, name)
	return err
}

func (m *ReflectionResponse) visitError(f field) (err error) {
	switch {
	case f.is(1, protowire.VarintType):
		m.ErrorCode = int32(f.n)
	case f.is(2, protowire.BytesType):
		m.ErrorMessage, err = textField("error message", f, MaxReflectionError)
	}
	return err
}

// appendInt32 appends an int32 field, which proto3 leaves out when zero. It
// travels as the varint of its sign-extended value.
func appendInt32(b []byte, num protowire.Number, v int32) []byte {
	return appendUint(b, num, uint64(int64(v)))
}
