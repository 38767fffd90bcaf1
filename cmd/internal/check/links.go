package check

import (
	"fmt"
	"slices"
	"strings"
)

// NotInPlugins returns packages that no plugin's binary may link.
func NotInPlugins() []string {
	return []string{
		"expvar", "html/template", "net/rpc", "os/exec", "testing", "text/template",
		Module + "/h2grpc/reflection", Module + "/plugin/host", Module + "/plugin/internal/hostwire", Module + "/plugin/plugintest", Module + "/plugin/supervise",
	}
}

// TakenNames returns the protobuf packages that go-plugin and grpc-go register. If a
// library registers one of them too, every process that links both panics.
func TakenNames() []string { return []string{"plugin", "grpc.health", "grpc.reflection", "google.rpc"} }

// Compare compares the packages that a program links with a golden list: one on each
// line, except lines that begin with #. golden is the list's name.
func Compare(golden string, list []byte, linked []string) []Finding {
	var out []Finding
	listed := make(map[string]int)
	for i, name := range strings.Split(string(list), "\n") {
		if name == "" || strings.HasPrefix(name, "#") {
			continue
		}
		listed[name] = i + 1
		if !slices.Contains(linked, name) {
			out = append(out, Finding{golden, i + 1, name + " is in the list and no longer linked"})
		}
	}
	for _, name := range linked {
		if listed[name] == 0 {
			out = append(out, Finding{golden, 0, name + " is linked and not in the list"})
		}
		if slices.Contains(NotInPlugins(), name) {
			out = append(out, Finding{golden, listed[name], fmt.Sprintf("%s must not be in a plugin's binary: go list -deps -json shows who imports it", name)})
		}
	}
	return out
}

// Visible sorts the names of packages and leaves out the standard library's
// internal ones, which change with every version of Go.
func Visible(names []string) []string {
	var out []string
	for _, name := range names {
		parts := strings.Split(name, "/")
		standard := !strings.Contains(parts[0], ".")
		if !standard || parts[0] != "vendor" && !slices.Contains(parts, "internal") {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
