package verify_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/host/verify"
)

// theFile is the file verified here; its name follows.
const (
	theFile = "the plugin"
	theName = "/usr/lib/acme/plugin"
)

func judge(t *testing.T, v host.Verifier) error {
	t.Helper()
	return v(t.Context(), theName, strings.NewReader(theFile))
}

// wantErr checks for a kind of error, or for text in it.
func wantErr(t *testing.T, what string, err error, kind error, words string) {
	t.Helper()
	switch {
	case kind == nil && words == "":
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	case err == nil:
		t.Errorf("%s: was accepted", what)
	case kind != nil && !errors.Is(err, kind), !strings.Contains(err.Error(), words):
		t.Errorf("%s: got %v", what, err)
	}
}

func TestSums(t *testing.T) {
	sum256, sum512 := sha256.Sum256([]byte(theFile)), sha512.Sum512([]byte(theFile))
	other := sha256.Sum256([]byte("another"))
	wantErr(t, "the SHA-256", judge(t, verify.SHA256(sum256[:])), nil, "")
	wantErr(t, "the SHA-512", judge(t, verify.SHA512(sum512[:])), nil, "")
	wantErr(t, "another SHA-256", judge(t, verify.SHA256(other[:])), verify.ErrMismatch, "")
	wantErr(t, "no sum", judge(t, verify.SHA256(nil)), nil, "0 bytes, not 32")
	wantErr(t, "a short sum", judge(t, verify.SHA512(sum256[:])), nil, "32 bytes, not 64")
	// Changing the caller's slice has no effect.
	sum := bytes.Clone(sum256[:])
	v := verify.SHA256(sum)
	clear(sum)
	wantErr(t, "a sum that was changed later", judge(t, v), nil, "")
}

func TestSumsFile(t *testing.T) {
	sum256, sum512 := sha256.Sum256([]byte(theFile)), sha512.Sum512([]byte(theFile))
	good, long := fmt.Sprintf("%x", sum256), fmt.Sprintf("%x", sum512)
	other := strings.Repeat("0a", 32)
	path := filepath.Join(t.TempDir(), "SHA256SUMS")
	for _, tc := range []struct {
		name, list string
		kind       error
		words      string
	}{
		{"text mode", good + "  plugin\n", nil, ""},
		{"binary mode", good + " *plugin\n", nil, ""},
		{"SHA-512", long + "  plugin\n", nil, ""},
		{"upper case", strings.ToUpper(good) + "  plugin\n", nil, ""},
		{"no newline at the end", good + "  plugin", nil, ""},
		{"a directory", good + "  ./dist/plugin\n", nil, ""},
		{"among others", other + "  plugin-b\n\n" + good + "  plugin\n" + other + "  aplugin\n", nil, ""},
		{"twice the same", good + "  a/plugin\n" + good + "  b/plugin\n", nil, ""},
		{"twice different", good + "  a/plugin\n" + other + "  b/plugin\n", nil, "line 2 has another sum"},
		{"another sum", other + "  plugin\n", verify.ErrMismatch, ""},
		{"another name", good + "  plugin2\n", verify.ErrNotListed, ""},
		{"empty", "", verify.ErrNotListed, ""},
		{"one space", good + " plugin\n", nil, "line 1"},
		{"a short sum", good[:62] + "  plugin\n", nil, "line 1"},
		{"SHA-1", good[:40] + "  plugin\n", nil, "line 1"},
		{"the BSDs' form", "SHA256 (plugin) = " + good + "\n", nil, "line 1"},
		{"a line that is none, after the one", good + "  plugin\nhello\n", nil, "line 2"},
		{"no name", good + "  \n", nil, "line 1"},
		{"an escape that is none", `\` + good + `  pl\ugin` + "\n", nil, "line 1"},
		{"half an escape", `\` + good + `  plugin\` + "\n", nil, "line 1"},
		{"an escaped name", `\` + good + `  a\nb\\c/plugin` + "\n", nil, ""},
		{"too large", strings.Repeat("\n", 1<<20+1), nil, "more than 1048576 bytes"},
		{"terminal codes", "\x1b[31m\n", nil, `"\x1b[31m"`},
	} {
		if err := os.WriteFile(path, []byte(tc.list), 0o600); err != nil {
			t.Fatal(err)
		}
		wantErr(t, tc.name, judge(t, verify.SumsFile(path)), tc.kind, tc.words)
	}
	// A name that has to be escaped.
	list := `\` + good + `  odd\\na\nme\r` + "\n"
	if err := os.WriteFile(path, []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" { // where a backslash is no part of a name
		err := verify.SumsFile(path)(t.Context(), "/bin/odd\\na\nme\r", strings.NewReader(theFile))
		wantErr(t, "an escaped name", err, nil, "")
	}
	wantErr(t, "no list", judge(t, verify.SumsFile(path+"2")), os.ErrNotExist, "")
	wantErr(t, "a directory", judge(t, verify.SumsFile(t.TempDir())), nil, "is not a file")
}

// minisign returns a signature as minisign writes it.
func minisign(key ed25519.PrivateKey, algorithm string, message []byte, comment string) string {
	sig := ed25519.Sign(key, message)
	global := ed25519.Sign(key, append(bytes.Clone(sig), comment...))
	return "untrusted comment: signature from a test\n" +
		base64.StdEncoding.EncodeToString([]byte(algorithm+"keyidxyz"+string(sig))) + "\n" +
		"trusted comment: " + comment + "\n" + base64.StdEncoding.EncodeToString(global) + "\n"
}

func TestSignedSumsFile(t *testing.T) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, ed25519.SeedSize))
	public := key.Public().(ed25519.PublicKey)
	sum := sha256.Sum256([]byte(theFile))
	list := fmt.Appendf(nil, "%x  plugin\n", sum)
	wrong := fmt.Appendf(nil, "%x  plugin\n", sha256.Sum256(nil))
	dir := t.TempDir()
	path, signature := filepath.Join(dir, "SUMS"), filepath.Join(dir, "SUMS.sig")

	good := minisign(key, "Ed", list, "file:SUMS")
	lines := strings.SplitAfter(good, "\n")
	for _, tc := range []struct {
		name  string
		key   ed25519.PublicKey
		list  []byte
		sig   string
		kind  error
		words string
	}{
		{"64 bytes", public, list, string(ed25519.Sign(key, list)), nil, ""},
		{"minisign's", public, list, good, nil, ""},
		{"minisign's with CRLF", public, list, strings.ReplaceAll(good, "\n", "\r\n"), nil, ""},
		{"minisign's default", public, list, minisign(key, "ED", list, "x"), nil, "BLAKE2b"},
		{"another algorithm", public, list, minisign(key, "XX", list, "x"), nil, `"XX"`},
		{"another key", public, list, string(ed25519.Sign(other, list)), verify.ErrSignature, ""},
		{"minisign's by another key", public, list, minisign(other, "Ed", list, "x"), verify.ErrSignature, ""},
		{"another list", public, append(bytes.Clone(list), '\n'), good, verify.ErrSignature, ""},
		{"another trusted comment", public, list, strings.Replace(good, "file:SUMS", "file:SUMZ", 1), verify.ErrSignature, ""},
		{"another second signature", public, list, lines[0] + lines[1] + lines[2] + lines[1], verify.ErrSignature, ""},
		{"two lines", public, list, lines[0] + lines[1], nil, "four lines"},
		{"empty", public, list, "", nil, "64 bytes"},
		{"63 bytes", public, list, string(ed25519.Sign(key, list)[:63]), nil, "64 bytes"},
		{"no base64", public, list, lines[0] + "!\n" + lines[2] + lines[3], nil, "second line"},
		{"a short signature", public, list, lines[0] + "RWQ=\n" + lines[2] + lines[3], nil, "second line"},
		{"no base64 at the end", public, list, lines[0] + lines[1] + lines[2] + "!\n", nil, "fourth line"},
		{"a good signature and another plugin", public, wrong, minisign(key, "Ed", wrong, "x"), verify.ErrMismatch, ""},
		{"a short key", public[:31], list, good, nil, "31 bytes"},
		{"no key", nil, list, good, nil, "0 bytes"},
	} {
		for name, text := range map[string]string{path: string(tc.list), signature: tc.sig} {
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		wantErr(t, tc.name, judge(t, verify.SignedSumsFile(tc.key, path, signature)), tc.kind, tc.words)
	}
	os.Remove(signature)
	wantErr(t, "no signature", judge(t, verify.SignedSumsFile(public, path, signature)), os.ErrNotExist, "reading the signature")
}

func TestEd25519ph(t *testing.T) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	public := key.Public().(ed25519.PublicKey)
	sum := sha512.Sum512([]byte(theFile))
	sig, err := key.Sign(nil, sum[:], &ed25519.Options{Hash: crypto.SHA512})
	if err != nil {
		t.Fatal(err)
	}
	wantErr(t, "the signature", judge(t, verify.Ed25519ph(public, sig)), nil, "")
	wantErr(t, "Ed25519 without a hash", judge(t, verify.Ed25519ph(public, ed25519.Sign(key, []byte(theFile)))), verify.ErrSignature, "")
	wantErr(t, "Ed25519 over the hash", judge(t, verify.Ed25519ph(public, ed25519.Sign(key, sum[:]))), verify.ErrSignature, "")
	wantErr(t, "a short signature", judge(t, verify.Ed25519ph(public, sig[:63])), verify.ErrSignature, "")
	wantErr(t, "no signature", judge(t, verify.Ed25519ph(public, nil)), verify.ErrSignature, "")
	wantErr(t, "a short key", judge(t, verify.Ed25519ph(public[:5], sig)), nil, "5 bytes")
	err = verify.Ed25519ph(public, sig)(t.Context(), theName, strings.NewReader(theFile+"!"))
	wantErr(t, "another file", err, verify.ErrSignature, "")
	broken := errors.New("broken")
	err = verify.Ed25519ph(public, sig)(t.Context(), theName, io.MultiReader(strings.NewReader(theFile), failingReader{broken}))
	wantErr(t, "a file that cannot be read", err, broken, "")
}

type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

func TestMinisignKey(t *testing.T) {
	public := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public().(ed25519.PublicKey)
	line := base64.StdEncoding.EncodeToString([]byte("Edkeyidxyz" + string(public)))
	for _, text := range []string{line, line + "\n", "untrusted comment: minisign public key X\n" + line + "\r\n"} {
		if got, err := verify.MinisignKey(text); err != nil || !got.Equal(public) {
			t.Errorf("%q: got %x, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "\n", "x", line[1:], line + line, line + "\n" + line, "untrusted comment: x", "untrusted comment: x\n\n" + line,
		base64.StdEncoding.EncodeToString([]byte("EDkeyidxyz" + string(public))),
	} {
		if got, err := verify.MinisignKey(text); err == nil {
			t.Errorf("%q: got %x", text, got)
		}
	}
}
