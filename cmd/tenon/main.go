// Command tenon helps with programs that use this module, or are to use it. Its
// first argument is what to do:
//
//	tenon migrate [-n] [dir | dir/...]...
//
// # Migrate
//
// Migrate moves Go packages from hashicorp/go-plugin and grpc-go to this module. It
// changes the imports of google.golang.org/grpc, of codes, status, metadata and peer
// below it, and of github.com/hashicorp/go-plugin, in all Go files of the
// directories, whatever their build tags: tests and generated code too. Names that
// are others here, or that have moved to plugin/host, are changed with them where
// the counterpart is certain; what is certain is found by type checking against
// declarations of both libraries that are part of this command, so that it needs
// neither the network nor a program that compiles. The rest is listed on standard
// output, as
//
//	file:line:col: name: what to do
//
// and most of it is an error of the compiler's until it is done. What compiles means
// something else, as a Kill that may be a plugin.Client's does, where the type checker
// cannot tell: here it is SIGKILL at once. Nothing else is changed, and a file that was
// formatted by gofmt stays so.
//
// Configurations of hosts and plugins get the lines for what go-plugin has by
// default and this module has on request: Reflection in plugins, InheritEnv in hosts
// that did not set SkipHostEnv. AutoMTLS, which is the default here, stays on unless
// the program said AutoMTLS: false.
//
// Generated files, which are those with the line for it, have their imports and
// qualified names changed and nothing else. cmd/protoc-gen-go-h2grpc makes stubs anew.
//
// A pattern ending in /... stands for the directory and all below it, other than
// vendor and testdata, nested modules, and names that begin with a dot or an
// underscore; each of them can be named by itself. Without arguments it is the
// current directory. Symbolic links to files and directories in them are not
// followed: such a file is read, and not changed.
//
// With -n nothing is changed, and what would be is printed.
//
// All is computed before anything is written: if a file cannot be parsed, none is
// changed. Each file is replaced as a whole, and keeps its mode.
//
// The exit status is 1 if that failed. It is also 1 while a package that uses h2grpc,
// or this module's plugin packages, or a package of its own module that uses h2grpc,
// imports grpc-go's codes, metadata, peer or status. That compiles and is wrong
// without a word: to one library, the errors of the other have no code, and its
// contexts no metadata. Packages of other modules are not looked at: for errors that
// come from those there is MapError, of ServeConfig.Server. What is judged is what is
// in the files when the command ends, so that with -n it is a check for programs that
// were migrated in part by hand. It is 2 if the arguments are wrong.
package main

import (
	"fmt"
	"io"
	"os"
)

// A verb is a first argument of the command, and what it does with the others.
// run returns the exit status.
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
