package report

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
)

// Machine says what the figures were measured on and with.
type Machine struct {
	CPU     string
	Cores   int
	System  string
	Go      string
	Load    string            // the load averages before the run
	Modules map[string]string // versions by module path
}

// modules are those that are worth naming.
var modules = []string{
	"google.golang.org/grpc", "github.com/hashicorp/go-plugin", "connectrpc.com/connect",
	"github.com/containerd/ttrpc", "storj.io/drpc", "google.golang.org/protobuf", "golang.org/x/net",
}

// ThisMachine describes the machine and what is measured: the versions are those
// that goMod, the benchmarks' go.mod, requires.
func ThisMachine(goMod string) Machine {
	m := Machine{
		CPU:     "unknown processor",
		Cores:   runtime.NumCPU(),
		System:  runtime.GOOS + "/" + runtime.GOARCH,
		Go:      runtime.Version(),
		Modules: make(map[string]string),
	}
	// What cannot be read stays unsaid: it changes no figure.
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range bytes.Lines(info) {
		if name, value, _ := strings.Cut(string(line), ":"); strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	if kernel, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.System += ", Linux " + strings.TrimSpace(string(kernel))
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.Join(strings.Fields(string(load))[:3], " ")
	}
	for line := range strings.Lines(goMod) {
		if fields := strings.Fields(line); len(fields) > 1 && slices.Contains(modules, fields[0]) {
			m.Modules[fields[0]] = fields[1]
		}
	}
	return m
}

// busy reports whether something else was going on before the run.
func (m Machine) busy() bool {
	var load float64
	_, err := fmt.Sscan(m.Load, &load)
	return err == nil && load > busyLoad*float64(m.Cores)
}

// busyLoad is the load average of a core from which on figures are doubtful.
const busyLoad = 0.25

// String is a sentence or two.
func (m Machine) String() string {
	var versions []string
	for _, name := range modules {
		if v := m.Modules[name]; v != "" {
			versions = append(versions, name+" "+v)
		}
	}
	return fmt.Sprintf("%s, %d cores, %s, %s; %s. Load averages before the run: %s.",
		m.CPU, m.Cores, m.System, m.Go, strings.Join(versions, ", "), m.Load)
}
