package wire_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/testdata/vectors"
	"github.com/tenonrpc/tenon/wire"
)

// versionList parses "1,2"; an empty string is an empty list.
func versionList(t testing.TB, s string) []int {
	t.Helper()
	var list []int
	for entry := range strings.SplitSeq(s, ",") {
		if entry == "" {
			continue
		}
		n, err := strconv.Atoi(entry)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, n)
	}
	return list
}

func TestNegotiateVectors(t *testing.T) {
	vectors.Run(t, "version", sentinels, func(t *testing.T, v *vectors.Vector) {
		host, plugin := versionList(t, v.Get(t, "host")), versionList(t, v.Get(t, "plugin"))
		version, ok := wire.Negotiate(host, plugin)
		if v.WantError(t, nil) {
			return
		}
		vectors.WantText(t, "version", strconv.Itoa(version), v.Get(t, "version"))
		vectors.WantText(t, "common", strconv.FormatBool(ok), v.Get(t, "common"))
	})
}

func FuzzNegotiate(f *testing.F) {
	toBytes := func(list []int) (b []byte) {
		for _, n := range list {
			b = append(b, byte(n))
		}
		return b
	}
	for _, v := range vectors.Load(f, "version") {
		f.Add(toBytes(versionList(f, v.Get(f, "host"))), toBytes(versionList(f, v.Get(f, "plugin"))))
	}
	f.Fuzz(func(t *testing.T, hostBytes, pluginBytes []byte) {
		toInts := func(b []byte) (list []int) {
			for _, c := range b {
				list = append(list, int(c))
			}
			return list
		}
		host, plugin := toInts(hostBytes), toInts(pluginBytes)
		version, ok := wire.Negotiate(host, plugin)
		common := slices.DeleteFunc(slices.Clone(plugin), func(v int) bool { return !slices.Contains(host, v) })
		switch {
		case len(common) > 0:
			if !ok || version != slices.Max(common) {
				t.Fatalf("host %v, plugin %v: got %d, %v, want %d", host, plugin, version, ok, slices.Max(common))
			}
		case len(plugin) > 0:
			if ok || version != slices.Min(plugin) {
				t.Fatalf("host %v, plugin %v: got %d, %v, want %d and none in common", host, plugin, version, ok, slices.Min(plugin))
			}
		default:
			if ok || version != 0 {
				t.Fatalf("host %v, no plugin: got %d, %v", host, version, ok)
			}
		}
	})
}
