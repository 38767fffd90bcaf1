// Package metrics adds the state of supervised plugins to a set of metrics:
//
//	var set metrics.Set // of h2grpc/metrics
//	set.Collect(hostmetrics.Plugins(supervisors...))
//
// The calls of a plugin are counted by the set itself, with
//
//	Host: &host.Config{Client: h2grpc.ClientConfig{Stats: set.Stats("plugin", "kv")}, …}
package metrics

import (
	"github.com/tenonrpc/tenon/h2grpc/metrics"
	"github.com/tenonrpc/tenon/plugin/host/supervise"
)

// Plugins returns a function for [metrics.Set.Collect], which writes for each supervisor,
// labelled "plugin" with its name:
//
//	plugin_state{state}              1 for the state that the plugin is in, 0 for the others
//	plugin_restarts_total            processes begun after the first
//	plugin_failures                  failures in a row
//	plugin_state_since_seconds       when it came into its state, since 1970
//	plugin_resident_memory_bytes     of its process; left out where the system does not tell
//	plugin_cpu_seconds_total         of its process: begins anew with each
//
// The supervisors must have different names.
func Plugins(list ...*supervise.Supervisor) func(*metrics.Writer) {
	return func(w *metrics.Writer) {
		all := make([]supervise.Status, len(list))
		for i, s := range list {
			all[i] = s.Status()
		}
		w.Family("plugin_state", "gauge", "The state of a plugin: 1 for the one that it is in.")
		for _, st := range all {
			for _, state := range states {
				in := 0.0
				if st.State == state {
					in = 1
				}
				w.Sample("", in, "plugin", st.Plugin, "state", state.String())
			}
		}
		for _, f := range families {
			w.Family(f.name, f.typ, f.help)
			for _, st := range all {
				if v, ok := f.value(st); ok {
					w.Sample("", v, "plugin", st.Plugin)
				}
			}
		}
	}
}

var states = []supervise.State{supervise.Stopped, supervise.Starting, supervise.Ready, supervise.Unhealthy, supervise.Restarting, supervise.GaveUp}

var families = []struct {
	name, typ, help string
	value           func(supervise.Status) (float64, bool)
}{
	{"plugin_restarts_total", "counter", "Processes of a plugin that were begun after the first.", func(st supervise.Status) (float64, bool) {
		return float64(st.Restarts), true
	}},
	{"plugin_failures", "gauge", "Failures of a plugin in a row.", func(st supervise.Status) (float64, bool) {
		return float64(st.Failures), true
	}},
	{"plugin_state_since_seconds", "gauge", "When a plugin came into its state, since 1970.", func(st supervise.Status) (float64, bool) {
		return float64(st.Since.UnixMilli()) / 1000, true
	}},
	{"plugin_resident_memory_bytes", "gauge", "Resident memory of a plugin's process.", func(st supervise.Status) (float64, bool) {
		return float64(st.Usage.RSS), st.Usage.RSS > 0
	}},
	{"plugin_cpu_seconds_total", "counter", "CPU time of a plugin's process.", func(st supervise.Status) (float64, bool) {
		return st.Usage.CPU.Seconds(), st.Usage.RSS > 0
	}},
}
