package verify_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/plugin/host/verify"
)

// What minisign 0.11 wrote for a list of sums, with a throwaway key: minisign -G, and
// minisign -S with and without -l.
const (
	minisignKey = "untrusted comment: minisign public key 3019890A9176B88B\n" +
		"RWSLuHaRCokZMHmaXubDKM2asrDPEet9qcRqP8yP4wnEWflL4KYeN4ia\n"
	minisignList   = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824  a.bin\n" // of "hello"
	minisignLegacy = "untrusted comment: signature from minisign secret key\n" +
		"RWSLuHaRCokZMPsjD7O71wGOOQ0AGjsGeG66gKyAlfshQwafxpx+Z3fady94Sc2RJTlrs21ifJGWhVWLMuMA+IA+JkHjSJxjwAQ=\n" +
		"trusted comment: timestamp:1795272554\tfile:SUMS\n" +
		"7iFjDeo/HepIilRVViimrE6IjHdHF3AXxRDQ6Ajf1sFhsul1rn9EOhhX+LUR/AJ/102ULdUeAzcIcnpHNe+5Bg==\n"
	minisignHashed = "untrusted comment: signature from minisign secret key\n" +
		"RUSLuHaRCokZMM4reP460nEo8boyxgX2vL6ccaG2vHCWyQpx9WwPcKCJJ42e3AeqMj+Y5mOLr9FL7vMhOp4U9GoaIzHXS/3rSgg=\n" +
		"trusted comment: timestamp:1795272554\tfile:SUMS\thashed\n" +
		"pSU08csPBPGLEMGYEYL9n5ZkCIKVNF9Q7bsO/WcADKfUzd37GzsnI9Mi0u0+YTsRvr0Q0lKGrJZPUfLpAw3dAg==\n"
)

// TestMinisign verifies what the real minisign has signed.
func TestMinisign(t *testing.T) {
	key, err := verify.MinisignKey(minisignKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	list := write("SUMS", minisignList)
	for _, tt := range []struct{ name, signature, content, want string }{
		{"legacy", minisignLegacy, "hello", ""},
		{"legacy, another file", minisignLegacy, "hullo", "SHA-256"},
		{"legacy, another trusted comment", strings.Replace(minisignLegacy, "file:SUMS", "file:MINE", 1), "hello", "signature"},
		{"hashed, the default", minisignHashed, "hello", "BLAKE2b"},
	} {
		v := verify.SignedSumsFile(key, list, write("SUMS.minisig", tt.signature))
		err := v(t.Context(), filepath.Join("/opt", "a.bin"), strings.NewReader(tt.content))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}
