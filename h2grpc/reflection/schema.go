package reflection

import (
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// schema finds files: first among the embedded ones, then in protobuf's registry. The
// embedded ones come first because the server implements them; in a program that also
// links grpc-go the registry has another version of the same files.
type schema struct {
	embedded *embedded
}

// file is a file of either origin: exactly one of the fields is not nil.
type file struct {
	embedded   *embeddedFile
	registered protoreflect.FileDescriptor
}

func (f file) path() string {
	if f.embedded != nil {
		return f.embedded.path
	}
	return f.registered.Path()
}

// encode returns the file as a serialized FileDescriptorProto.
func (f file) encode() []byte {
	if f.embedded != nil {
		return f.embedded.raw
	}
	return encoder{options: linksOptions()}.file(f.registered)
}

// byPath finds a file by its path.
func (s schema) byPath(path string) (file, bool) {
	if f := s.embedded.files[path]; f != nil {
		return file{embedded: f}, true
	}
	fd, err := protoregistry.GlobalFiles.FindFileByPath(path)
	return file{registered: fd}, err == nil
}

// bySymbol finds the file that declares a full name.
func (s schema) bySymbol(name string) (file, bool) {
	if f := s.embedded.symbols[name]; f != nil {
		return file{embedded: f}, true
	}
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return file{}, false
	}
	return file{registered: d.ParentFile()}, true
}

// byExtension finds the file that declares an extension.
func (s schema) byExtension(x extension) (file, bool) {
	if f := s.embedded.extensions[x]; f != nil {
		return file{embedded: f}, true
	}
	t, err := protoregistry.GlobalTypes.FindExtensionByNumber(
		protoreflect.FullName(x.message), protoreflect.FieldNumber(x.number))
	if err != nil {
		return file{}, false
	}
	return file{registered: t.TypeDescriptor().ParentFile()}, true
}

// extensionNumbers returns the numbers of all extensions of a message, in ascending
// order. It returns false if there are none and nothing has that name.
func (s schema) extensionNumbers(message string) ([]int32, bool) {
	var numbers []int32
	add := func(n int32) {
		if i, found := slices.BinarySearch(numbers, n); !found {
			numbers = slices.Insert(numbers, i, n)
		}
	}
	for x := range s.embedded.extensions {
		if x.message == message {
			add(x.number)
		}
	}
	protoregistry.GlobalTypes.RangeExtensionsByMessage(protoreflect.FullName(message),
		func(t protoreflect.ExtensionType) bool {
			add(int32(t.TypeDescriptor().Number()))
			return true
		})
	if len(numbers) == 0 {
		_, known := s.bySymbol(message)
		return nil, known
	}
	return numbers, true
}

// imports returns the files that f imports and that the program has. A registered
// file lists those that it was linked with, some of which may be missing.
func (s schema) imports(f file) []file {
	var files []file
	if f.embedded != nil {
		for _, path := range f.embedded.imports {
			if imported, ok := s.byPath(path); ok {
				files = append(files, imported)
			}
		}
		return files
	}
	for i, list := 0, f.registered.Imports(); i < list.Len(); i++ {
		imported := list.Get(i)
		if !imported.IsPlaceholder() {
			files = append(files, file{registered: imported.FileDescriptor})
		}
	}
	return files
}

// withImports returns f and all files that it imports, directly or not, except those
// whose path is in sent, and adds the returned ones to sent. Since a file always
// comes with its imports, those of a file in sent need no visit: each call visits
// every file at most once.
func (s schema) withImports(f file, sent map[string]bool) [][]byte {
	var encoded [][]byte
	sent[f.path()] = true
	for queue := []file{f}; len(queue) > 0; queue = queue[1:] {
		encoded = append(encoded, queue[0].encode())
		for _, imported := range s.imports(queue[0]) {
			if path := imported.path(); !sent[path] {
				sent[path] = true
				queue = append(queue, imported)
			}
		}
	}
	return encoded
}
