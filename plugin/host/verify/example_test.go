package verify_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/host/verify"
	"github.com/tenonrpc/tenon/testdata/examples/kvmain"
	"github.com/tenonrpc/tenon/testdata/examples/kvshared"
)

// The host knows the sum of the one file that it starts, as from a lock file.
func ExampleSHA256() {
	path, sum, err := approved()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(started(path, verify.SHA256(sum)))

	sum[0] ^= 1 // so the file is not the expected one
	err = started(path, verify.SHA256(sum))
	var failed *host.StartError
	if errors.As(err, &failed) {
		fmt.Println(failed.Stage)
	}
	fmt.Println(errors.Is(err, verify.ErrMismatch))
	// Output:
	// <nil>
	// verifying the file
	// true
}

// Updates come with a list of sums that the publisher has signed. The host has the key;
// the list and its signature are files beside the plugin.
func ExampleSignedSumsFile() {
	dir, err := os.MkdirTemp("", "app")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	list, signature := filepath.Join(dir, "SHA256SUMS"), filepath.Join(dir, "SHA256SUMS.sig")
	path, sum, err := approved()
	if err != nil {
		fmt.Println(err)
		return
	}
	key, err := publish(list, signature, fmt.Sprintf("%x  %s\n", sum, filepath.Base(path)))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(started(path, verify.SignedSumsFile(key, list, signature)))

	// Another list, for which there is no signature:
	if err := os.WriteFile(list, fmt.Appendf(nil, "%064x  %s\n", 0, filepath.Base(path)), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	err = started(path, verify.SignedSumsFile(key, list, signature))
	fmt.Println(errors.Is(err, verify.ErrSignature))
	// Output:
	// <nil>
	// true
}

// publish is what the publisher does, with a private key that it keeps.
func publish(list, signature, sums string) (ed25519.PublicKey, error) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	return public, errors.Join(
		os.WriteFile(list, []byte(sums), 0o600),
		os.WriteFile(signature, ed25519.Sign(private, []byte(sums)), 0o600),
	)
}

// started starts the plugin if it is verified, and ends it.
func started(path string, verifier host.Verifier) error {
	client, err := host.Start(context.Background(), &host.Config{
		Handshake: kvshared.Handshake,
		Cmd:       exec.Command(path),
		Env:       []string{kvmain.Variable + "=1", "GORACE=atexit_sleep_ms=0"},
		Verify:    verifier,
	})
	if err != nil {
		return err
	}
	return client.Close()
}

// approved returns the plugin of these examples, which is the test program, and the
// sum of its file.
func approved() (path string, sum []byte, err error) {
	if path, err = os.Executable(); err != nil {
		return "", nil, err
	}
	program, err := os.ReadFile(path)
	s := sha256.Sum256(program)
	return path, s[:], err
}
