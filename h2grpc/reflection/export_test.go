package reflection

import (
	"fmt"

	"github.com/tenonrpc/tenon/h2grpc"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// EncodeFile is the encoder as it works in a program that links the descriptor
// package (options) and in one that does not.
func EncodeFile(fd protoreflect.FileDescriptor, options bool) []byte {
	return encoder{options: options}.file(fd)
}

// ParseEmbedded returns how many files, names and extensions the sets hold.
func ParseEmbedded(sets ...[]byte) (files, symbols, extensions int, err error) {
	e, err := parseEmbedded(sets)
	if err != nil {
		return 0, 0, 0, err
	}
	return len(e.files), len(e.symbols), len(e.extensions), nil
}

// RegisterWith is Register on any registrar, with the services to be listed.
func RegisterWith(r h2grpc.ServiceRegistrar, services []string, extra ...[]byte) {
	register(r, func() []string { return services }, extra)
}

// Request is the request that a server decodes.
type Request = request

// Respond encodes responses with the given numbers of items, and one with the
// services.
func Respond(files, numbers int, services ...string) []error {
	var out [3]response
	out[0] = response{kind: responseFiles, files: make([][]byte, files)}
	out[1].extensionNumbers("a.M", make([]int32, numbers))
	out[2].services(services)
	var errs []error
	for _, m := range out {
		m.to = new(request)
		b, err := m.AppendTo([]byte("before"))
		if err != nil && string(b) != "before" {
			err = fmt.Errorf("%w, after %q", err, b)
		}
		errs = append(errs, err)
	}
	return errs
}
