package main

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"
)

func clientInterface(s *protogen.Service) string { return s.GoName + "Client" }
func serverInterface(s *protogen.Service) string { return s.GoName + "Server" }
func clientStruct(s *protogen.Service) string {
	return strings.ToLower(s.GoName[:1]) + s.GoName[1:] + "Client"
}

func methodName(m *protogen.Method) string {
	return m.Parent.GoName + "_" + m.GoName + "_FullMethodName"
}

// wireName returns the path of a method's calls.
func wireName(m *protogen.Method) string {
	return fmt.Sprintf("/%s/%s", m.Parent.Desc.FullName(), m.Desc.Name())
}

func isStreaming(m *protogen.Method) bool {
	return m.Desc.IsStreamingClient() || m.Desc.IsStreamingServer()
}

// goNames lists every name that the stubs of s declare in its Go package.
func goNames(s *protogen.Service) []string {
	names := []string{
		clientInterface(s), clientStruct(s), "New" + s.GoName + "Client",
		serverInterface(s), "Unimplemented" + s.GoName + "Server", "Unsafe" + s.GoName + "Server",
		"Register" + s.GoName + "Server", s.GoName + "_ServiceDesc",
	}
	for _, m := range s.Methods {
		names = append(names, methodName(m), "_"+s.GoName+"_"+m.GoName+"_Handler")
		if isStreaming(m) {
			names = append(names, s.GoName+"_"+m.GoName+"Client", s.GoName+"_"+m.GoName+"Server")
		}
	}
	return names
}

// declarations maps each Go name of each Go package to what it stands for in the .proto
// file.
type declarations map[protogen.GoIdent]string

// add records a declaration that protoc-gen-go makes.
func (d declarations) add(ident protogen.GoIdent, kind string, desc protoreflect.Descriptor) {
	d[ident] = fmt.Sprintf("%s %s (%s)", kind, desc.FullName(), desc.ParentFile().Path())
}

func (d declarations) addEnums(enums []*protogen.Enum) {
	for _, e := range enums {
		d.add(e.GoIdent, "enum", e.Desc)
		for _, v := range e.Values {
			d.add(v.GoIdent, "enum value", v.Desc)
		}
	}
}

func (d declarations) addMessages(messages []*protogen.Message) {
	for _, m := range messages {
		d.add(m.GoIdent, "message", m.Desc)
		for _, o := range m.Oneofs {
			d.add(o.GoIdent, "oneof", o.Desc)
			for _, f := range o.Fields {
				d.add(f.GoIdent, "field", f.Desc)
			}
		}
		d.addEnums(m.Enums)
		d.addMessages(m.Messages)
	}
}

// checkNames finds stubs whose Go names are taken by a message, an enum or the stubs of
// another service of the same Go package. Such files would be generated without an
// error and then fail to compile, with errors about generated names only.
func checkNames(files []*protogen.File) error {
	declared := make(declarations)
	for _, file := range files {
		declared.addEnums(file.Enums)
		declared.addMessages(file.Messages)
	}
	for _, file := range files {
		for _, service := range file.Services {
			if err := checkMethods(service); err != nil {
				return err
			}
			what := fmt.Sprintf("service %s (%s)", service.Desc.FullName(), file.Desc.Path())
			for _, name := range goNames(service) {
				ident := file.GoImportPath.Ident(name)
				if other, ok := declared[ident]; ok && file.Generate {
					return fmt.Errorf("the stubs of %s need the Go name %s, which belongs to %s: rename one of the two", what, name, other)
				}
				declared[ident] = what
			}
		}
	}
	return nil
}

// checkMethods finds methods of one service with the same Go name.
func checkMethods(service *protogen.Service) error {
	methods := make(map[string]*protogen.Method)
	for _, m := range service.Methods {
		if other, ok := methods[m.GoName]; ok {
			return fmt.Errorf("methods %s and %s (%s) have the same Go name %s: rename one of the two",
				other.Desc.FullName(), m.Desc.FullName(), m.Desc.ParentFile().Path(), m.GoName)
		}
		methods[m.GoName] = m
	}
	return nil
}
