package reflection

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tenonrpc/tenon/wire/fields"
)

// The messages of grpc.reflection.v1 and of v1alpha are the same. A server decodes
// requests and encodes responses; what only clients need is missing here.

// The fields of the oneof message_request, and of message_response.
const (
	requestFile             protowire.Number = 3
	requestSymbol           protowire.Number = 4
	requestExtension        protowire.Number = 5
	requestExtensionNumbers protowire.Number = 6
	requestServices         protowire.Number = 7

	responseFiles            protowire.Number = 4
	responseExtensionNumbers protowire.Number = 5
	responseServices         protowire.Number = 6
	responseError            protowire.Number = 7
)

// request is a ServerReflectionRequest.
type request struct {
	Host string           // repeated in the response
	Kind protowire.Number // 0 if it is none of the above
	// Name is what the request asks for: the path of a file, a full name, the full name
	// of the extended message, or with requestServices a text without meaning. It has at
	// most maxName bytes, and so has Host.
	Name string
	// ExtensionNumber is used with requestExtension only.
	ExtensionNumber int32
}

// UnmarshalFrom decodes m from b and keeps nothing of b. Unknown fields are dropped,
// and of several requests in one message the last counts. The errors are those of
// package fields.
func (m *request) UnmarshalFrom(b []byte) error {
	*m = request{}
	if err := fields.Each(b, m.merge); err != nil {
		*m = request{}
		return fmt.Errorf("reflection: request: %w", err)
	}
	return nil
}

func (m *request) merge(f fields.Field) (err error) {
	if f.Typ != protowire.BytesType {
		return nil
	}
	switch f.Num {
	case 1:
		m.Host, err = fields.Text("host", f, maxName)
	case requestExtension:
		if m.Kind != requestExtension {
			*m = request{Host: m.Host, Kind: requestExtension}
		}
		err = fields.Each(f.B, m.mergeExtension)
	case requestFile, requestSymbol, requestExtensionNumbers, requestServices:
		*m = request{Host: m.Host, Kind: f.Num}
		m.Name, err = fields.Text("name", f, maxName)
	}
	return err
}

// mergeExtension decodes a field of an ExtensionRequest.
func (m *request) mergeExtension(f fields.Field) (err error) {
	switch {
	case f.Is(1, protowire.BytesType):
		m.Name, err = fields.Text("name", f, maxName)
	case f.Is(2, protowire.VarintType):
		m.ExtensionNumber = int32(f.N)
	}
	return err
}

// AppendTo appends the request, which the response repeats.
func (m *request) AppendTo(b []byte) ([]byte, error) {
	b = fields.AppendBytes(b, 1, m.Host)
	switch m.Kind {
	case 0:
		return b, nil
	case requestExtension:
		extension := fields.AppendBytes(nil, 1, m.Name)
		return fields.AppendPresent(b, m.Kind, fields.AppendInt32(extension, 2, m.ExtensionNumber)), nil
	}
	return fields.AppendPresent(b, m.Kind, m.Name), nil
}

// response is a ServerReflectionResponse.
type response struct {
	to   *request
	kind protowire.Number
	// files are serialized FileDescriptorProtos, with responseFiles, and body is
	// the content of any other kind. Descriptors can be large: they are copied
	// once, into the message.
	files [][]byte
	body  []byte
	err   error // why the response cannot be encoded
}

// extensionNumbers makes m a response with the numbers of a message's extensions.
func (m *response) extensionNumbers(message string, numbers []int32) {
	m.kind = responseExtensionNumbers
	m.err = checkItems(len(numbers))
	m.body = fields.AppendBytes(nil, 1, message)
	var packed []byte
	for _, n := range numbers {
		packed = protowire.AppendVarint(packed, uint64(int64(n)))
	}
	m.body = fields.AppendBytes(m.body, 2, packed)
}

// services makes m a response with the names of services.
func (m *response) services(names []string) {
	m.kind = responseServices
	m.err = checkItems(len(names))
	for _, name := range names {
		if err := fields.CheckText("service", name, maxName); err != nil {
			m.err = err
		}
		m.body = fields.AppendPresent(m.body, 1, fields.AppendBytes(nil, 1, name))
	}
}

// fail makes m an error response with a gRPC status code.
func (m *response) fail(code int32, text string) {
	m.kind = responseError
	m.body = fields.AppendBytes(fields.AppendInt32(nil, 1, code), 2, text)
}

// AppendTo appends the response. It fails if something exceeds its limit.
func (m *response) AppendTo(b []byte) ([]byte, error) {
	if err := errors.Join(m.err, checkItems(len(m.files))); err != nil {
		return b, fmt.Errorf("reflection: response: %w", err)
	}
	to, err := m.to.AppendTo(nil)
	if err != nil {
		return b, err
	}
	b = fields.AppendBytes(b, 1, m.to.Host)
	b = fields.AppendPresent(b, 2, to)
	if m.kind != responseFiles {
		return fields.AppendPresent(b, m.kind, m.body), nil
	}
	size := 0
	for _, file := range m.files {
		size += protowire.SizeTag(1) + protowire.SizeBytes(len(file))
	}
	b = protowire.AppendTag(b, m.kind, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	for _, file := range m.files {
		b = fields.AppendPresent(b, 1, file)
	}
	return b, nil
}

// UnmarshalFrom makes response an h2grpc.Message. It is never called.
func (*response) UnmarshalFrom([]byte) error {
	return errors.New("reflection: a server does not decode responses")
}

func checkItems(n int) error {
	if n > maxItems {
		return fmt.Errorf("%w of %d items", fields.ErrTooLong, maxItems)
	}
	return nil
}
