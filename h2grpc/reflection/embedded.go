package reflection

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// embedded holds the files of serialized FileDescriptorSets that are kept out
// of protobuf's registry. It does not change once it is made. Of files with
// the same path, and of declarations with the same name, the first counts.
type embedded struct {
	files      map[string]*embeddedFile // by path
	symbols    map[string]*embeddedFile // by the full name of what it declares
	extensions map[extension]*embeddedFile
}

type embeddedFile struct {
	path    string
	imports []string // paths
	raw     []byte   // the FileDescriptorProto
}

// extension identifies an extension field.
type extension struct {
	message string // the full name of what it extends
	number  int32
}

// parseEmbedded reads the sets. They are part of the program and not a peer's
// words, so that it checks their form but not their meaning.
func parseEmbedded(sets [][]byte) (*embedded, error) {
	e := &embedded{
		files:      make(map[string]*embeddedFile),
		symbols:    make(map[string]*embeddedFile),
		extensions: make(map[extension]*embeddedFile),
	}
	for i, set := range sets {
		err := eachField(set, func(f field) error {
			if f.num != setFile {
				return nil
			}
			return e.addFile(f.bytes)
		})
		if err != nil {
			return nil, fmt.Errorf("reflection: descriptor set %d of those given to Register: %w", i, err)
		}
	}
	return e, nil
}

// addFile takes in a FileDescriptorProto.
func (e *embedded) addFile(raw []byte) error {
	file := &embeddedFile{raw: raw}
	var scope string
	err := eachField(raw, func(f field) error {
		switch f.num {
		case fileName:
			file.path = string(f.bytes)
		case filePackage:
			scope = string(f.bytes)
		case fileDependency:
			file.imports = append(file.imports, string(f.bytes))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if e.files[file.path] != nil {
		return nil
	}
	e.files[file.path] = file
	err = eachField(raw, func(f field) error {
		switch f.num {
		case fileMessage:
			return e.addMessage(file, scope, f.bytes, 1)
		case fileEnum:
			return e.addEnum(file, scope, f.bytes)
		case fileExtension:
			return e.addField(file, scope, f.bytes)
		case fileService:
			return e.addService(file, scope, f.bytes)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("file %q: %w", file.path, err)
	}
	return nil
}

// addMessage takes in a DescriptorProto that is declared in scope.
func (e *embedded) addMessage(file *embeddedFile, scope string, b []byte, depth int) error {
	if depth > maxNesting {
		return fmt.Errorf("messages in %q are nested more than %d deep", scope, maxNesting)
	}
	scope, err := e.declare(file, scope, b)
	if err != nil {
		return err
	}
	return eachField(b, func(f field) (err error) {
		switch f.num {
		case messageField, messageExtension:
			err = e.addField(file, scope, f.bytes)
		case messageNested:
			err = e.addMessage(file, scope, f.bytes, depth+1)
		case messageEnum:
			err = e.addEnum(file, scope, f.bytes)
		case messageOneof:
			_, err = e.declare(file, scope, f.bytes)
		}
		return err
	})
}

// addEnum takes in an EnumDescriptorProto. Its values are declared in the
// scope of the enum itself.
func (e *embedded) addEnum(file *embeddedFile, scope string, b []byte) error {
	if _, err := e.declare(file, scope, b); err != nil {
		return err
	}
	return e.declareAll(file, scope, b, enumValue)
}

// addService takes in a ServiceDescriptorProto.
func (e *embedded) addService(file *embeddedFile, scope string, b []byte) error {
	scope, err := e.declare(file, scope, b)
	if err != nil {
		return err
	}
	return e.declareAll(file, scope, b, serviceMethod)
}

// addField takes in a FieldDescriptorProto, of a field or an extension.
func (e *embedded) addField(file *embeddedFile, scope string, b []byte) error {
	if _, err := e.declare(file, scope, b); err != nil {
		return err
	}
	var x extension
	err := eachField(b, func(f field) error {
		switch f.num {
		case fieldExtendee:
			x.message = strings.TrimPrefix(string(f.bytes), ".")
		case fieldNumber:
			x.number = int32(f.varint)
		}
		return nil
	})
	if err == nil && x.message != "" && e.extensions[x] == nil {
		e.extensions[x] = file
	}
	return err
}

// declareAll declares what the fields num of b describe.
func (e *embedded) declareAll(file *embeddedFile, scope string, b []byte, num protowire.Number) error {
	return eachField(b, func(f field) (err error) {
		if f.num == num {
			_, err = e.declare(file, scope, f.bytes)
		}
		return err
	})
}

// declare takes in the name of a descriptor, which is field 1 in all of them,
// and returns the full name.
func (e *embedded) declare(file *embeddedFile, scope string, b []byte) (string, error) {
	var name string
	err := eachField(b, func(f field) error {
		if f.num == messageName {
			name = string(f.bytes)
		}
		return nil
	})
	if scope != "" {
		name = scope + "." + name
	}
	if e.symbols[name] == nil {
		e.symbols[name] = file
	}
	return name, err
}

// field is one field of a message; varint or bytes is its value.
type field struct {
	num    protowire.Number
	varint uint64
	bytes  []byte
}

// eachField calls visit for the varint and length-delimited fields of b, in
// their order, until it returns an error. Descriptors have no others.
func eachField(b []byte, visit func(field) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		f := field{num: num}
		switch typ {
		case protowire.VarintType:
			f.varint, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if err := visit(f); err != nil {
			return err
		}
	}
	return nil
}
