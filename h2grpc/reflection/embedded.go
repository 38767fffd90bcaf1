package reflection

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tenonrpc/tenon/wire/fields"
)

// embedded is the files of serialized FileDescriptorSets, which are not in protobuf's
// registry. It does not change once it is made. Of files with the same path, and of
// declarations with the same name, the first counts.
type embedded struct {
	files      map[string]*embeddedFile // by path
	symbols    map[string]*embeddedFile // by the full names of what they declare
	extensions map[extension]*embeddedFile
}

type embeddedFile struct {
	path    string
	imports []string // paths
	raw     []byte   // the FileDescriptorProto
}

// extension identifies an extension field.
type extension struct {
	message string // the full name of the extended message
	number  int32
}

// parseEmbedded parses the sets. They are part of the program and do not come from a
// peer, so that it checks their form but not their meaning.
func parseEmbedded(sets [][]byte) (*embedded, error) {
	e := &embedded{
		files:      make(map[string]*embeddedFile),
		symbols:    make(map[string]*embeddedFile),
		extensions: make(map[extension]*embeddedFile),
	}
	for i, set := range sets {
		err := fields.Each(set, func(f fields.Field) error {
			if f.Num != setFile {
				return nil
			}
			return e.addFile(f.B)
		})
		if err != nil {
			return nil, fmt.Errorf("reflection: descriptor set %d of those given to Register: %w", i, err)
		}
	}
	return e, nil
}

// addFile adds a FileDescriptorProto.
func (e *embedded) addFile(raw []byte) error {
	file := &embeddedFile{raw: raw}
	var scope string
	err := fields.Each(raw, func(f fields.Field) error {
		switch f.Num {
		case fileName:
			file.path = string(f.B)
		case filePackage:
			scope = string(f.B)
		case fileDependency:
			file.imports = append(file.imports, string(f.B))
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
	err = fields.Each(raw, func(f fields.Field) error {
		switch f.Num {
		case fileMessage:
			return e.addMessage(file, scope, f.B, 1)
		case fileEnum:
			return e.addEnum(file, scope, f.B)
		case fileExtension:
			return e.addField(file, scope, f.B)
		case fileService:
			return e.addService(file, scope, f.B)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("file %q: %w", file.path, err)
	}
	return nil
}

// addMessage adds a DescriptorProto that is declared in scope.
func (e *embedded) addMessage(file *embeddedFile, scope string, b []byte, depth int) error {
	if depth > maxNesting {
		return fmt.Errorf("messages in %q are nested more than %d deep", scope, maxNesting)
	}
	scope, err := e.declare(file, scope, b)
	if err != nil {
		return err
	}
	return fields.Each(b, func(f fields.Field) (err error) {
		switch f.Num {
		case messageField, messageExtension:
			err = e.addField(file, scope, f.B)
		case messageNested:
			err = e.addMessage(file, scope, f.B, depth+1)
		case messageEnum:
			err = e.addEnum(file, scope, f.B)
		case messageOneof:
			_, err = e.declare(file, scope, f.B)
		}
		return err
	})
}

// addEnum adds an EnumDescriptorProto. Its values are declared in the scope of the
// enum itself.
func (e *embedded) addEnum(file *embeddedFile, scope string, b []byte) error {
	if _, err := e.declare(file, scope, b); err != nil {
		return err
	}
	return e.declareAll(file, scope, b, enumValue)
}

// addService adds a ServiceDescriptorProto.
func (e *embedded) addService(file *embeddedFile, scope string, b []byte) error {
	scope, err := e.declare(file, scope, b)
	if err != nil {
		return err
	}
	return e.declareAll(file, scope, b, serviceMethod)
}

// addField adds a FieldDescriptorProto, of a field or an extension.
func (e *embedded) addField(file *embeddedFile, scope string, b []byte) error {
	if _, err := e.declare(file, scope, b); err != nil {
		return err
	}
	var x extension
	err := fields.Each(b, func(f fields.Field) error {
		switch f.Num {
		case fieldExtendee:
			x.message = strings.TrimPrefix(string(f.B), ".")
		case fieldNumber:
			x.number = int32(f.N)
		}
		return nil
	})
	if err == nil && x.message != "" && e.extensions[x] == nil {
		e.extensions[x] = file
	}
	return err
}

// declareAll declares the descriptors in the fields num of b.
func (e *embedded) declareAll(file *embeddedFile, scope string, b []byte, num protowire.Number) error {
	return fields.Each(b, func(f fields.Field) (err error) {
		if f.Num == num {
			_, err = e.declare(file, scope, f.B)
		}
		return err
	})
}

// declare declares a descriptor by its name, which is field 1 in all of them, and
// returns its full name.
func (e *embedded) declare(file *embeddedFile, scope string, b []byte) (string, error) {
	var name string
	err := fields.Each(b, func(f fields.Field) error {
		if f.Num == messageName {
			name = string(f.B)
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
