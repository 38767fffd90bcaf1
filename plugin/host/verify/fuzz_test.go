package verify_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/plugin/host/verify"
)

// FuzzListedSum parses anything as a list of sums. A sum that it finds is in the list,
// on a line with the name.
func FuzzListedSum(f *testing.F) {
	sum := strings.Repeat("ab", 32)
	for _, list := range []string{
		"", sum + "  plugin\n", sum + " *dir/plugin\r\n", "\\" + sum + "  a\\nplugin\n", strings.Repeat("cd", 64) + "  plugin\n",
		sum + "  plugin\n" + strings.Repeat("cd", 32) + "  plugin\n", sum + " plugin\n", "\x00", sum + "  \n", "\\" + sum + "  \\\n",
	} {
		f.Add([]byte(list), "plugin")
	}
	f.Fuzz(func(t *testing.T, list []byte, name string) {
		sum, err := verify.ListedSum(list, name)
		if err != nil && sum != nil {
			t.Errorf("a sum and an error: %x, %v", sum, err)
		}
		if err != nil && len(err.Error()) > 2000 {
			t.Errorf("the error has %d bytes", len(err.Error()))
		}
		if sum == nil {
			return
		}
		if len(sum) != 32 && len(sum) != 64 {
			t.Errorf("a sum of %d bytes", len(sum))
		}
		if !bytes.Contains(bytes.ToLower(list), []byte(hex.EncodeToString(sum))) {
			t.Errorf("the sum %x is not in the list", sum)
		}
	})
}

// FuzzSignature takes anything as a signature and as a key. No change to a signature is
// accepted, except of what is no part of it.
func FuzzSignature(f *testing.F) {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	key := private.Public().(ed25519.PublicKey)
	message := []byte("a list of sums")
	raw := ed25519.Sign(private, message)
	const comment = "trusted comment: today"
	global := ed25519.Sign(private, append(bytes.Clone(raw), "today"...))
	encode := base64.StdEncoding.EncodeToString
	mini := "untrusted comment: x\n" + encode([]byte("Ed12345678"+string(raw))) + "\n" + comment + "\n" + encode(global) + "\n"
	if verify.CheckSignature(key, message, raw) != nil || verify.CheckSignature(key, message, []byte(mini)) != nil {
		f.Fatal("the seeds are refused")
	}
	f.Add(raw, "")
	f.Add([]byte(mini), "untrusted comment: key\n"+encode([]byte("Ed12345678"+string(key))))
	f.Add([]byte(strings.Replace(mini, "today", "never", 1)), encode([]byte("Ed")))
	f.Add([]byte(strings.ReplaceAll(mini, "\n", "\r\n")), "\n\n")
	f.Fuzz(func(t *testing.T, sig []byte, text string) {
		if k, err := verify.MinisignKey(text); err == nil && len(k) != ed25519.PublicKeySize {
			t.Errorf("a key of %d bytes", len(k))
		}
		err := verify.CheckSignature(key, message, sig)
		if err != nil {
			if len(err.Error()) > 2000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			return
		}
		if !bytes.Equal(sig, raw) && !bytes.Contains(sig, []byte(comment)) {
			t.Errorf("accepted %q", sig)
		}
		if verify.CheckSignature(key, append(message, '.'), sig) == nil {
			t.Error("it is one for another message, too")
		}
	})
}
