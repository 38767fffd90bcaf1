package check

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// A use names something of another package, and the only files of what is linked into
// programs that may use it.
type use struct {
	names   []string // "import/path.Name"; "import/path.*" stands for every name
	allowed []string // files, or directories as "d/..."
	why     string
}

// The files that deal with the whole process: plugin's do so only if
// ServeConfig.Process is nil, and a host passes on a part of its environment.
const (
	pluginProcess = "plugin/process.go"
	pluginServe   = "plugin/serve.go"
	pluginCapture = "plugin/capture.go"
	hostStart     = "plugin/host/start.go"
)

var uses = []use{
	{[]string{"os.Exit", "log.Fatal", "log.Fatalf", "log.Fatalln"}, []string{pluginServe, "cmd/..."},
		"a library does not end its process"},
	{[]string{"os.Getenv", "os.LookupEnv", "os.Setenv", "os.Unsetenv", "os.Clearenv", "os.ExpandEnv"},
		[]string{pluginProcess, "cmd/..."}, "the environment belongs to the whole process"},
	{[]string{"os.Environ"}, []string{pluginProcess, hostStart, "cmd/..."}, "the environment belongs to the whole process"},
	{[]string{"os/signal.*"}, []string{pluginProcess, "cmd/..."}, "signals belong to the whole process"},
	{[]string{"crypto/x509.CreateCertificate", "crypto/x509.NewCertPool", "crypto/x509.SystemCertPool"},
		[]string{"plugin/internal/automtls/...", "plugin/certs/..."}, "certificates are made and trusted in two packages: AutoMTLS's, and that for certificates of one's own"},
	{[]string{"time.After", "time.Tick"}, nil, "it cannot be stopped: use a context or a timer"},
	{[]string{"time.Sleep"}, nil, "nothing waits without being able to stop"},
	{[]string{"math/rand.*"}, nil, "use math/rand/v2, or crypto/rand for what peers see"},
}

// processWide checks the uses, and that os.Stdout and os.Stderr are assigned
// where they may be.
func processWide(t *Tree) []Finding {
	var out []Finding
	for _, f := range t.Files {
		if f.Test || f.Nested || f.Generated {
			continue
		}
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			if a, ok := n.(*ast.AssignStmt); ok && f.Path != pluginCapture {
				for _, left := range a.Lhs {
					if name := f.selected(left); name == "os.Stdout" || name == "os.Stderr" || name == "os.Stdin" || name == "os.Args" {
						out = append(out, Finding{f.Path, t.line(left), name + " is assigned here: it belongs to the whole process"})
					}
				}
			}
			name := f.selected(n)
			if name == "" {
				return true
			}
			for _, u := range uses {
				if u.has(name) && !matchesAny(f.Path, u.allowed) {
					out = append(out, Finding{f.Path, t.line(n), fmt.Sprintf("%s must not be used here: %s", name, u.why)})
				}
			}
			return true
		})
	}
	return out
}

func (u use) has(name string) bool {
	for _, n := range u.names {
		if parent, ok := strings.CutSuffix(n, ".*"); n == name || ok && strings.HasPrefix(name, parent+".") {
			return true
		}
	}
	return false
}

// byName are the ways to change files by their paths. Whoever can change the directory
// above decides what they change: package files offers others.
var byName = use{
	names: []string{
		"os.Chmod", "os.Chown", "os.Lchown", "os.Chtimes", "os.Truncate", "os.Remove", "os.RemoveAll", "os.Rename", "os.Link", "os.Symlink",
		"os.Mkdir", "os.MkdirAll", "os.MkdirTemp", "os.CreateTemp", "os.Create", "os.WriteFile", "os.O_CREATE", "os.O_TRUNC",
		"syscall.Chmod", "syscall.Chown", "syscall.Lchown", "syscall.Unlink", "syscall.Rmdir", "syscall.Rename", "syscall.Mkdir", "syscall.Bind",
		"net.ListenUnix", "net.ListenUnixgram", "net.ListenPacket", "net.ListenConfig",
	},
	allowed: []string{"plugin/internal/files/...", "cmd/..."},
}

// handled checks that what is linked into programs of others changes files by
// descriptors, in one package.
func handled(t *Tree) []Finding {
	var out []Finding
	for _, f := range t.Files {
		if f.Test || f.Nested || f.Generated || matchesAny(f.Path, byName.allowed) || strings.Contains(f.Path, "testdata/") {
			continue
		}
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			if name := f.selected(n); byName.has(name) {
				out = append(out, Finding{f.Path, t.line(n), name + " must not be used here: whoever can change the directory decides what it changes; plugin/internal/files does it by descriptors"})
			}
			if call, ok := n.(*ast.CallExpr); ok && f.selected(call.Fun) == "net.Listen" && !listensTCP(f, call) {
				out = append(out, Finding{f.Path, t.line(n), "net.Listen must be given \"tcp\" here, word for word: sockets with a path are made in plugin/internal/files"})
			}
			return true
		})
	}
	return out
}

func listensTCP(f *File, call *ast.CallExpr) bool {
	lit, ok := call.Args[0].(*ast.BasicLit)
	return ok && lit.Value == `"tcp"` || f.selected(call.Args[0]) == Module+"/wire.NetworkTCP"
}

// pins checks that a peer's certificate is checked in one place and in one way: under
// AutoMTLS, and with certificates of one's own.
func pins(t *Tree) []Finding {
	checks := []string{"plugin/internal/automtls", "plugin/certs"}
	fields := map[string][]string{
		"InsecureSkipVerify":    checks,
		"VerifyConnection":      checks,
		"VerifyPeerCertificate": nil, // skipped on resumed sessions
	}
	var out []Finding
	for _, f := range t.Files {
		if f.Test || f.Nested || f.Generated {
			continue
		}
		set := func(n ast.Expr) {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				n = sel.Sel
			}
			id, ok := n.(*ast.Ident)
			if !ok {
				return
			}
			if dirs, listed := fields[id.Name]; listed && !slices.Contains(dirs, f.Dir) {
				out = append(out, Finding{f.Path, t.line(id), id.Name + " must not be set here: the peer's certificate is checked in VerifyConnection of plugin/internal/automtls and plugin/certs, and nowhere else"})
			}
		}
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.KeyValueExpr:
				set(n.Key)
			case *ast.AssignStmt:
				for _, left := range n.Lhs {
					set(left)
				}
			}
			return true
		})
	}
	return out
}

// environment checks that the protocol's variables are named in wire alone.
func environment(t *Tree) []Finding {
	var out []Finding
	for _, f := range t.Files {
		if f.Test || f.Nested || f.Generated || f.Dir == "wire" || f.Dir == "cmd/internal/check" {
			continue
		}
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			for _, name := range []string{"PLUGIN_", "TENON_", "TF_REATTACH"} {
				if strings.HasPrefix(strings.Trim(lit.Value, "\"`"), name) {
					out = append(out, Finding{f.Path, t.line(lit), lit.Value + " names a variable of the protocol: names of variables exist in wire only"})
				}
			}
			return true
		})
	}
	return out
}

// initless checks that linking a package has no effect.
func initless(t *Tree) []Finding {
	var out []Finding
	for _, f := range t.Files {
		if f.Test || f.Nested || f.Generated {
			continue
		}
		for _, d := range f.Syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				out = append(out, Finding{f.Path, t.line(fn), "init acts when the package is linked: do it where it is asked for"})
			}
		}
	}
	return out
}
