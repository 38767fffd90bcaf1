package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestAudit looks for a line of each section in the report on this repository.
func TestAudit(t *testing.T) {
	var b bytes.Buffer
	if err := audit(&b, "../../.."); err != nil {
		t.Fatal(err)
	}
	report := b.String()
	at := 0
	for _, want := range []string{
		"\nplugin/internal/automtls ", "    standard library: crypto", // packages
		"\nsyscall.", ".go:", // system
		"\ncrypto/ecdsa.GenerateKey ", "plugin/internal/automtls/", // cryptography
		"\nh2grpc/limits.go\n", "  DefaultMaxMessageSize = 64 << 20 (line ", "limits messages in both directions", // limits
		"\ngolang.org/x/net v", "h1:", "licence: BSD-3-Clause", "\ngoogle.golang.org/protobuf v", // modules
	} {
		i := strings.Index(report[at:], want)
		if i < 0 {
			t.Fatalf("no %q after byte %d of the report:\n%s", want, at, report)
		}
		at += i
	}
	if err := audit(&b, t.TempDir()); err == nil || !strings.Contains(err.Error(), "top") {
		t.Errorf("a directory without Go files: %v", err)
	}
}
