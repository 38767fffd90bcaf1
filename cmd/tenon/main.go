// Command tenon helps to move programs to this module. Its first argument is a verb:
//
//	tenon migrate [-n] [dir | dir/...]...
//
// # Migrate
//
// Migrate moves Go packages from hashicorp/go-plugin and grpc-go to this module. It
// changes the imports of google.golang.org/grpc, of codes, status, metadata and peer
// below it, and of github.com/hashicorp/go-plugin, in all Go files of the directories,
// whatever their build tags, including tests and generated code. It also changes names
// that differ here, or have moved to plugin/host, if the counterpart is certain. To
// find out, it type-checks against declarations of both libraries that are part of this
// command, so it needs neither the network nor a program that compiles. It lists the
// rest on standard output, as
//
//	file:line:col: name: what to do
//
// Most of these are errors of the compiler until they are dealt with. The list also has
// uses that compile but mean something else, where the type checker cannot tell: a Kill
// that may be plugin.Client's, for example, which is SIGKILL at once here. Nothing else
// is changed, and a file that gofmt has formatted remains formatted.
//
// Configurations of hosts and plugins get fields for what go-plugin does by default and
// this module on request: Reflection in plugins, InheritEnv in hosts that did not set
// SkipHostEnv. AutoMTLS, which is the default here, stays on unless the program set
// AutoMTLS: false.
//
// In generated files, which are those with the usual line, only imports and qualified
// names are changed. Generate stubs again with cmd/protoc-gen-go-h2grpc.
//
// A pattern ending in /... stands for the directory and everything below it, except
// vendor and testdata directories, nested modules, and names that begin with a dot or
// an underscore; each of these can be named itself. Without patterns, the current
// directory is migrated. Symbolic links in the directories are not followed: a linked
// file is read, but not changed.
//
// With -n nothing is changed, and what would be is printed.
//
// Everything is computed before anything is written: if a file cannot be parsed, none
// is changed. Each file is replaced as a whole, and keeps its mode.
//
// The exit status is 1 if that failed. It is also 1 while a package that uses h2grpc,
// this module's plugin packages, or a package of its own module that uses h2grpc,
// imports grpc-go's codes, metadata, peer or status. That compiles without an error but
// is wrong: to one library, the errors of the other have no code, and its contexts no
// metadata. Packages of other modules are not checked: for errors that come from those,
// there is MapError of ServeConfig.Server. The check applies to the files as they are
// when the command ends, so with -n it checks programs that were partly migrated by
// hand. The exit status is 2 if the arguments are wrong.
package main

import (
	"fmt"
	"io"
	"os"
)

// A verb is a first argument of the command, with the function that handles the other
// arguments. run returns the exit status.
type verb struct {
	name, arguments, summary string
	run                      func(args []string, stdout, stderr io.Writer) int
}

func verbs() []verb {
	return []verb{
		{"migrate", "[-n] [dir | dir/...]...", "move packages from go-plugin and grpc-go to tenon", migrate},
	}
}

// The exit statuses besides 0.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		for _, v := range verbs() {
			if v.name == args[0] {
				return v.run(args[1:], stdout, stderr)
			}
		}
		fmt.Fprintf(stderr, "tenon: there is no %q\n", args[0])
	}
	fmt.Fprintln(stderr, "usage:")
	for _, v := range verbs() {
		fmt.Fprintf(stderr, "  tenon %s %s\n\t%s\n", v.name, v.arguments, v.summary)
	}
	return exitUsage
}
