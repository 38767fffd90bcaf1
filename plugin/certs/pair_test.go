package certs_test

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/plugin/certs"
)

// TestFiles writes and reads each kind of key, in two files and in one.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	cert, key, both := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "both.pem")
	for _, kind := range []certs.KeyType{certs.P256, certs.P384, certs.P521, certs.Ed25519} {
		ca := must(certs.NewCA(certs.Options{Key: kind}))(t)
		for path, secret := range map[string]string{cert: key, both: ""} {
			if err := ca.Write(path, secret); err != nil {
				t.Fatal(err)
			}
			again := must(certs.LoadCA(path, secret))(t)
			if !bytes.Equal(again.Leaf.Raw, ca.Leaf.Raw) {
				t.Errorf("key %d: another certificate was read", kind)
			}
			// Its key signs what the first one's certificate vouches for.
			p := must(again.Peer(certs.Options{Names: []string{"kv"}, Key: kind}))(t)
			if err := p.Leaf.CheckSignatureFrom(ca.Leaf); err != nil {
				t.Errorf("key %d: %v", kind, err)
			}
			if list := must(certs.LoadCertificates(path))(t); len(list) != 1 {
				t.Errorf("%d certificates in %s", len(list), path)
			}
		}
	}
	if runtime.GOOS == "windows" {
		return
	}
	for path, want := range map[string]os.FileMode{cert: 0o644, key: 0o600, both: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v, want mode %v", path, info.Mode(), err, want)
		}
	}
}

// TestFilesThatAreRefused has the reasons, each of which names the file.
func TestFilesThatAreRefused(t *testing.T) {
	ca := newCA(t, "an authority")
	one, two := newPeer(t, ca, "one"), newPeer(t, ca, "two")
	oneKey, twoKey := string(must(one.KeyPEM())(t)), string(must(two.KeyPEM())(t))
	cert := string(one.CertificatePEM())
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "has no PEM block"},
		{"no PEM", "hello", "has no PEM block"},
		{"another's key", cert + twoKey, "the private key does not belong to the certificate"},
		{"the authority first", string(ca.CertificatePEM()) + cert + oneKey, "the certificate must be the first"},
		{"no key", cert, "has no private key"},
		{"no certificate", oneKey, "has no certificate"},
		{"two keys", cert + oneKey + twoKey, "has several private keys"},
		{"cut within the key", cert + oneKey[:len(oneKey)-30], "damaged, or not whole"},
		{"cut within the certificate", cert[:len(cert)-30], "damaged, or not whole"},
		{"damaged, and a whole one after it", cert[:100] + "\n" + cert + oneKey, "damaged, or not whole"},
		{"no X.509", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + oneKey, "certificate 1: "},
		{"no PKCS #8", cert + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "the private key is damaged"},
		{"encrypted", cert + "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", "is encrypted"},
		{"too large", cert + oneKey + strings.Repeat("#", 1<<20), "at most 1048576"},
		{"too many", strings.Repeat("-----BEGIN X-----\n-----END X-----\n", 1001), "more than 1000"},
		{"control characters", "-----BEGIN \x1b[2J-----\nAAAA\n-----END \x1b[2J-----\n", `\x1b[2J`},
	} {
		path := filepath.Join(t.TempDir(), "own.pem")
		overwrite(t, path, []byte(c.text))
		_, err := certs.Load(path, "")
		switch {
		case err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "own.pem"):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		case strings.ContainsAny(err.Error(), "\x1b\n") || len(err.Error()) > 1000:
			t.Errorf("%s: the error is not printable: %q", c.name, err)
		case strings.Contains(err.Error(), oneKey[40:60]) || strings.Contains(err.Error(), twoKey[40:60]):
			t.Errorf("%s: the error has the key", c.name)
		}
	}
	// Other text is no harm, nor are intermediate certificates.
	path := filepath.Join(t.TempDir(), "own.pem")
	overwrite(t, path, []byte("the plugin's:\n"+cert+"\nits authority:\n"+string(ca.CertificatePEM())+oneKey))
	if p, err := certs.Load(path, ""); err != nil || len(p.TLS().Certificate) != 2 {
		t.Errorf("with more text: %v", err)
	}
	if _, err := certs.LoadCA(path, ""); err == nil || !strings.Contains(err.Error(), "is no authority") {
		t.Errorf("as an authority: %v", err)
	}
	if _, err := certs.Load(filepath.Join(t.TempDir(), "none.pem"), ""); err == nil || !strings.Contains(err.Error(), "none.pem") {
		t.Errorf("no file: %v", err)
	}
	if err := one.Write(filepath.Join(t.TempDir(), "none", "own.pem"), ""); err == nil || !strings.Contains(err.Error(), "own.pem") {
		t.Errorf("no directory: %v", err)
	}
}

// TestFilesOfOthers: who can read a key has it, and who can write a file decides.
func TestFilesOfOthers(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // its files have no such modes
	}
	ca := newCA(t, "an authority")
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := newPeer(t, ca, "kv").Write(cert, key); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		mode os.FileMode
		want string
	}{
		{key, 0o640, "others can read it"}, {key, 0o604, "others can read it"}, {key, 0o620, "others can write"},
		{cert, 0o664, "others can write"}, {cert, 0o646, "others can write"}, {cert, 0o644, ""}, {cert, 0o600, ""},
	} {
		was, err := os.Stat(c.path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(c.path, c.mode); err != nil {
			t.Fatal(err)
		}
		if _, err = certs.Load(cert, key); c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.path)) {
			t.Errorf("%s with mode %04o: %v, want %q", c.path, c.mode, err, c.want)
		}
		if c.path == cert {
			if _, err = certs.LoadCertificates(cert); (err == nil) != (c.want == "") {
				t.Errorf("authorities with mode %04o: %v", c.mode, err)
			}
		}
		if err := os.Chmod(c.path, was.Mode()); err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() != 0 {
		return // only root can give a file away
	}
	for _, path := range []string{cert, key} {
		if err := os.Chown(path, 65534, -1); err != nil {
			t.Fatal(err)
		}
		if _, err := certs.Load(cert, key); err == nil || !strings.Contains(err.Error(), "belongs to another user") {
			t.Errorf("%s of another user: %v", path, err)
		}
		if err := os.Chown(path, 0, -1); err != nil {
			t.Fatal(err)
		}
	}
}
