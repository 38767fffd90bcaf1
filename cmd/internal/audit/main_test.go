package main

import (
	"bytes"
	"os"
	"os/exec"
	"path"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tenonrpc/tenon/cmd/internal/check"
)

const top = "../../.."

// page is how many lines the report may have, to be read in one go: one to four for each
// package, and what it says of the whole.
const page = 160

func report(t *testing.T, verbose bool) string {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil && runtime.GOOS == "windows" {
		t.Skip("there is no go command here")
	}
	var b bytes.Buffer
	if err := audit(&b, top, verbose); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// inOrder looks for words in a text, in the given order.
func inOrder(t *testing.T, text string, words ...string) {
	t.Helper()
	at := 0
	for _, want := range words {
		i := strings.Index(text[at:], want)
		if i < 0 {
			t.Fatalf("no %q after byte %d of the report:\n%s", want, at, text)
		}
		at += i
	}
}

// TestPage looks for a line of each section in the report on this repository, and
// for everything that must not be missing.
func TestPage(t *testing.T) {
	text := report(t, false)
	inOrder(t, text,
		"\n## Packages by layer", "plugin/internal/automtls: wire; ; crypto ", " in all\n",
		"\nunsafe in plugin/host/confine: landlock_linux.go:", "\nreflect in h2grpc: server.go:", "\nsyscall in plugin/host: ", " verify_linux.go:",
		"\n## Cryptography", "plugin/internal/automtls/certificate.go: ", "ecdsa.GenerateKey:", "/config.go: ", "ClientAuth:", "InsecureSkipVerify:",
		"\n## Limits: ", "\nh2grpc/limits.go:", " DefaultMaxRequestSize=256<<20;",
		"\n## Modules", "\ngolang.org/x/net v", " h1:", " BSD-3-Clause", "\ngoogle.golang.org/protobuf v", "by their go.mod alone: ")
	tree, err := check.Load(top)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range tree.Packages() {
		inOrder(t, text, " "+p.Dir+": "+strings.Join(p.Ours, " ")+"; ")
	}
	for _, l := range tree.Limits() {
		inOrder(t, text, "\n"+l.Path+":", " "+l.Name+"=")
	}
	lines := strings.Count(text, "\n")
	if lines > page {
		t.Errorf("the report has %d lines; what is read in one go has %d", lines, page)
	}
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(line); n > 700 {
			t.Errorf("a line has %d characters: %.100s", n, line)
		}
	}
}

func TestDetails(t *testing.T) {
	text := report(t, true)
	inOrder(t, text,
		"\n## Every use by name\n", "\ncrypto/ecdsa.GenerateKey: plugin/certs/", "\nsyscall.Syscall: ", "\nunsafe.Pointer: ",
		"\n## Uses between the files", "\n", "conn.go", "\n## Every limit's reason\n", "\nh2grpc/limits.go:", ": DefaultMaxRequestSize = 256 << 20: ", "limits the messages that a server receives")
	dir := t.TempDir()
	os.Mkdir(dir+"/wire", 0o777)
	os.MkdirAll(path.Dir(dir+"/"+check.LinesFile), 0o777)
	for name, text := range map[string]string{check.LinesFile: "| [`wire`](wire) | 0 | codecs |\nall\n", "wire/a.go": "package wire\n\n// nothing\n"} {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := rewrite(dir, check.LinesFile, check.Lines); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(dir + "/" + check.LinesFile); string(got) != "| [`wire`](wire) | 1 | codecs |\nall\n" {
		t.Errorf("the README has become %q (%v)", got, err)
	}
	var b bytes.Buffer
	if err := audit(&b, t.TempDir(), true); err == nil || !strings.Contains(err.Error(), "top") {
		t.Errorf("a directory without Go files: %v", err)
	}
}
