package reflection

import (
	"github.com/tenonrpc/tenon/h2grpc"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// EncodeFile is the encoder, as it works in a program that links the
// descriptor package (options) and in one that does not.
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
