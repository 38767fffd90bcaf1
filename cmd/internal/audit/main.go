// Command audit prints, on one page, what an auditor of this repository asks for first:
// how large the packages are and what they import, where they circumvent Go's types,
// call the system or do cryptography, every limit, and the modules that they depend on.
// With -v it also prints every use by name and every limit's reason. "make audit" runs
// it, and then govulncheck; AUDIT=-v adds the rest.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/tenonrpc/tenon/cmd/internal/check"
)

func main() {
	verbose := flag.Bool("v", false, "go on with every use by name and every limit's reason")
	lines := flag.Bool("lines", false, "count lines of code anew and write them into their table, and nothing else")
	api := flag.Bool("api", false, "list what the packages export, and nothing else")
	flag.Parse()
	if *lines || *api {
		write, name := check.Lines, check.LinesFile
		if *api {
			write, name = check.API, check.APIFile
		}
		if err := rewrite(".", name, write); err != nil {
			fmt.Fprintln(os.Stderr, "audit:", err)
			os.Exit(1)
		}
		return
	}
	w := bufio.NewWriter(os.Stdout)
	err := audit(w, ".", *verbose)
	if flushed := w.Flush(); err == nil {
		err = flushed
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "audit:", err)
		os.Exit(1)
	}
}

// rewrite writes a file of the repository whose top is dir: text makes it from the
// tree.
func rewrite(dir, name string, text func(*check.Tree) []byte) error {
	tree, err := check.Load(dir)
	if err != nil {
		return err
	}
	return os.WriteFile(path.Join(dir, name), text(tree), 0o666)
}

// What the report looks for, by prefixes of import paths.
var (
	past       = []string{"unsafe", "reflect", "syscall"}
	cryptology = []string{"crypto", "hash", "math/rand"}
)

// audit writes the report on the repository whose top is dir.
func audit(w io.Writer, dir string, verbose bool) error {
	tree, err := check.Load(dir)
	if err != nil {
		return err
	}
	if len(tree.Files) == 0 {
		return fmt.Errorf("no Go files below %s: run it at the repository's top", dir)
	}
	heading(w, "Packages by layer: lines of code; imports of ours; of others; of the standard library what reaches out of the process or past its types")
	packages(w, tree.Packages())
	heading(w, "unsafe, reflect, syscall")
	for _, prefix := range past {
		places(w, prefix, tree.Uses(prefix))
	}
	heading(w, "Cryptography: calls by line, and what decides whom TLS trusts")
	calls(w, append(tree.Uses(cryptology...), tree.Members(trusting...)...))
	limits := tree.Limits()
	heading(w, fmt.Sprintf("Limits: %d, each with its reason in the source", len(limits)))
	table(w, limits)
	heading(w, "Modules with code in the build list: hash and licence")
	if err := modules(w, dir); err != nil || !verbose {
		return err
	}
	heading(w, "Every use by name")
	named(w, tree.Uses(append(past, cryptology...)...))
	heading(w, "Uses between the files of the engine that point back up, in the order that has fewest")
	order, up := check.Up(tree, "h2grpc/internal/h2")
	fmt.Fprintln(w, strings.Join(order, " "))
	for _, line := range up {
		fmt.Fprintln(w, line)
	}
	heading(w, "Every limit's reason")
	for _, l := range limits {
		fmt.Fprintf(w, "%s:%d: %s = %s: %s\n", l.Path, l.Line, l.Name, l.Value, l.Reason)
	}
	return nil
}

// trusting are the fields of tls.Config and the methods that decide whom TLS
// trusts.
var trusting = []string{
	"InsecureSkipVerify", "ClientAuth", "VerifyConnection", "VerifyPeerCertificate", "RootCAs", "ClientCAs", "MinVersion",
	"SetSessionTicketKeys", "HandshakeContext",
}

func heading(w io.Writer, text string) { fmt.Fprintf(w, "\n## %s\n", text) }

// packages writes a line for each package. Packages come after those that they import.
func packages(w io.Writer, all []check.PackageSize) {
	byDir := map[string]check.PackageSize{}
	for _, p := range all {
		byDir[p.Dir] = p
	}
	layers := map[string]int{}
	var layer func(dir string) int
	layer = func(dir string) int {
		if n, known := layers[dir]; known {
			return n
		}
		n := 0
		for _, to := range byDir[dir].Ours {
			n = max(n, layer(to)+1)
		}
		layers[dir] = n
		return n
	}
	slices.SortStableFunc(all, func(a, b check.PackageSize) int { return layer(a.Dir) - layer(b.Dir) })
	sum := 0
	for _, p := range all {
		sum += p.Lines
		fmt.Fprintf(w, "%2d %5d %s: %s; %s; %s\n", layer(p.Dir), p.Lines, p.Dir, strings.Join(p.Ours, " "), strings.ReplaceAll(strings.Join(p.Foreign, " "), "google.golang.org/protobuf/", "protobuf/"), strings.Join(p.Notable, " "))
	}
	fmt.Fprintf(w, "   %5d in all\n", sum)
}

// places writes a line for each package that uses something, with the places.
func places(w io.Writer, what string, uses []check.Use) {
	dirs := group(uses, func(u check.Use) string { return path.Dir(u.Path) })
	for _, dir := range dirs.keys {
		files := group(dirs.of[dir], func(u check.Use) string { return path.Base(u.Path) })
		var text []string
		for _, file := range files.keys {
			text = append(text, file+":"+lines(files.of[file]))
		}
		fmt.Fprintf(w, "%s in %s: %s\n", what, dir, strings.Join(text, " "))
	}
}

// calls writes a line for each file with the calls in it.
func calls(w io.Writer, uses []check.Use) {
	uses = slices.DeleteFunc(uses, func(u check.Use) bool { return !u.Call })
	files := group(uses, func(u check.Use) string { return u.Path })
	for _, file := range files.keys {
		names := group(files.of[file], func(u check.Use) string { return path.Base(u.Name) })
		var text []string
		for _, name := range names.keys {
			text = append(text, name+":"+lines(names.of[name]))
		}
		fmt.Fprintf(w, "%s: %s\n", file, strings.Join(text, " "))
	}
}

// table writes the limits of each file in as few lines as they need.
func table(w io.Writer, limits []check.Limit) {
	const width = 300
	files := group(limits, func(l check.Limit) string { return l.Path })
	for _, file := range files.keys {
		line := file + ":"
		for _, l := range files.of[file] {
			item := fmt.Sprintf(" %s=%s;", l.Name, units.Replace(l.Value))
			if len(line)+len(item) > width {
				fmt.Fprintln(w, line)
				line = "   "
			}
			line += item
		}
		fmt.Fprintln(w, line)
	}
}

// units replaces expressions by shorter units, without changing their numbers.
var units = strings.NewReplacer(
	" * time.Hour", "h", " * time.Minute", "m", " * time.Second", "s", " * time.Millisecond", "ms", " * time.Microsecond", "µs",
	"time.Minute", "1m", "time.Second", "1s", "time.Millisecond", "1ms", "*time.Millisecond", "ms", " ", "")

// named writes a line for each name with all its places.
func named(w io.Writer, uses []check.Use) {
	names := group(uses, func(u check.Use) string { return u.Name })
	slices.Sort(names.keys)
	for _, name := range names.keys {
		files := group(names.of[name], func(u check.Use) string { return u.Path })
		var text []string
		for _, file := range files.keys {
			text = append(text, file+":"+lines(files.of[file]))
		}
		fmt.Fprintf(w, "%s: %s\n", name, strings.Join(text, " "))
	}
}

// lines returns the line numbers, each once.
func lines(uses []check.Use) string {
	var all []string
	for _, u := range uses {
		if n := fmt.Sprint(u.Line); !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return strings.Join(all, ",")
}

// groups are values by a key, in the order in which the keys came.
type groups[T any] struct {
	keys []string
	of   map[string][]T
}

func group[T any](values []T, key func(T) string) groups[T] {
	g := groups[T]{of: map[string][]T{}}
	for _, v := range values {
		k := key(v)
		if g.of[k] == nil {
			g.keys = append(g.keys, k)
		}
		g.of[k] = append(g.of[k], v)
	}
	return g
}
