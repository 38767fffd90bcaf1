// Package verify makes Verifiers, which decide whether a plugin's file is the one that
// was approved: by its sum, by a list of sums, by a signed list, or by a signature over
// the file.
//
//	client, err := host.Start(ctx, &host.Config{
//		Handshake: handshake,
//		Cmd:       exec.Command("/usr/lib/app/plugin"),
//		Verify:    verify.SignedSumsFile(key, "/usr/lib/app/SHA256SUMS", "/usr/lib/app/SHA256SUMS.minisig"),
//	})
//
// The copy that is checked is the one that is executed; see [host.Verifier].
// [MinisignKey] reads the public key that minisign writes. Lists and signatures are
// read again for each start, so an update of the plugin can replace them. The Verifiers
// may be used by several Starts at once.
package verify

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/internal/files"
	"github.com/tenonrpc/tenon/wire"
)

// The errors of this package's Verifiers wrap these.
var (
	// ErrMismatch reports that a plugin's file has another sum than expected.
	ErrMismatch error = &refusal{"the file is not the expected one", notApproved}
	// ErrNotListed reports that a list has no sum for the plugin's file.
	ErrNotListed error = &refusal{"the list has no sum for the plugin", "the list of sums is another plugin's, or the plugin's file was renamed"}
	// ErrSignature reports that a signature is not by the key, or not over this
	// content.
	ErrSignature error = &refusal{"the signature is not valid", notApproved}
)

const notApproved = "the plugin, or what it is compared with, is not what was approved; install the plugin anew from a source that you trust, or approve this one"

// refusal is an error with a hint, which host.StartError shows.
type refusal struct{ text, hint string }

func (r *refusal) Error() string { return r.text }

// Hint returns what to do about the error: see host.Verifier.
func (r *refusal) Hint() string { return r.hint }

// SHA256 returns a Verifier that accepts only the file with this SHA-256 sum, of 32
// bytes. With a sum of another length it accepts none.
func SHA256(sum []byte) host.Verifier { return sumVerifier(slices.Clone(sum), sha256.Size) }

// SHA512 returns a Verifier that accepts only the file with this SHA-512 sum, of 64
// bytes. With a sum of another length it accepts none.
func SHA512(sum []byte) host.Verifier { return sumVerifier(slices.Clone(sum), sha512.Size) }

func sumVerifier(sum []byte, size int) host.Verifier {
	return func(_ context.Context, _ string, r io.Reader) error {
		if len(sum) != size {
			return fmt.Errorf("the sum to compare with has %d bytes, not %d", len(sum), size)
		}
		return compare(r, sum)
	}
}

// compare compares the sum of what r reads. The length of sum decides the algorithm.
func compare(r io.Reader, sum []byte) error {
	var h hash.Hash
	name := "SHA-256"
	if len(sum) == sha512.Size {
		h, name = sha512.New(), "SHA-512"
	} else {
		h = sha256.New()
	}
	if _, err := io.Copy(h, r); err != nil {
		return fmt.Errorf("reading the plugin: %w", err)
	}
	if got := h.Sum(nil); !bytes.Equal(got, sum) {
		return fmt.Errorf("%w: its %s is %x, not %x", ErrMismatch, name, got, sum)
	}
	return nil
}

// SumsFile returns a Verifier that accepts a file whose sum is in the list at path. The
// list has the format of the programs sha256sum and sha512sum, at most 1 MiB, and is
// read again each time. An entry applies to the plugin if the last elements of their
// paths are the same. Several such entries with different sums are an error.
//
// Whoever can write to the list can have any plugin accepted: see SignedSumsFile.
func SumsFile(path string) host.Verifier {
	return func(_ context.Context, name string, r io.Reader) error {
		list, err := readSmall(path)
		if err != nil {
			return fmt.Errorf("reading the list of sums: %w", err)
		}
		return compareListed(list, path, name, r)
	}
}

// SignedSumsFile is SumsFile with a list that must be signed with the key. The file at
// signature is either an Ed25519 signature over the list, of 64 bytes, or the file that
// minisign writes with option -l, at most 1 MiB. By default minisign signs a BLAKE2b
// hash instead, which this package does not implement; such a signature is refused.
func SignedSumsFile(key ed25519.PublicKey, path, signature string) host.Verifier {
	key = slices.Clone(key)
	return func(_ context.Context, name string, r io.Reader) error {
		if err := checkKey(key); err != nil {
			return err
		}
		list, err := readSmall(path)
		if err != nil {
			return fmt.Errorf("reading the list of sums: %w", err)
		}
		sig, err := readSmall(signature)
		if err != nil {
			return fmt.Errorf("reading the signature: %w", err)
		}
		if err := checkSignature(key, list, sig); err != nil {
			return fmt.Errorf("the signature %q of %q: %w", signature, path, err)
		}
		return compareListed(list, path, name, r)
	}
}

// Ed25519ph returns a Verifier that accepts a file if signature, of 64 bytes, is an
// Ed25519ph signature over it: RFC 8032, section 5.1, the variant that signs the
// SHA-512 of the content, with an empty context.
func Ed25519ph(key ed25519.PublicKey, signature []byte) host.Verifier {
	key, signature = slices.Clone(key), slices.Clone(signature)
	return func(_ context.Context, _ string, r io.Reader) error {
		if err := checkKey(key); err != nil {
			return err
		}
		h := sha512.New()
		if _, err := io.Copy(h, r); err != nil {
			return fmt.Errorf("reading the plugin: %w", err)
		}
		if ed25519.VerifyWithOptions(key, h.Sum(nil), signature, &ed25519.Options{Hash: crypto.SHA512}) != nil {
			return fmt.Errorf("%w: it is not an Ed25519ph signature over this file by this key", ErrSignature)
		}
		return nil
	}
}

// checkKey checks the key's length, for which package ed25519 would panic.
func checkKey(key ed25519.PublicKey) error {
	if len(key) != ed25519.PublicKeySize {
		return fmt.Errorf("the Ed25519 key has %d bytes, not %d", len(key), ed25519.PublicKeySize)
	}
	return nil
}

// readSmall reads a file that is a list or a signature.
func readSmall(path string) ([]byte, error) {
	f, _, err := files.Read(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSumsFile+1))
	if err == nil && len(text) > maxSumsFile {
		err = fmt.Errorf("%q has more than %d bytes", path, maxSumsFile)
	}
	return text, err
}

// compareListed compares r with the sum for name in list, the file at listPath.
func compareListed(list []byte, listPath, name string, r io.Reader) error {
	base := filepath.Base(name)
	sum, err := listedSum(list, base)
	switch {
	case err != nil:
		return fmt.Errorf("the list of sums %q: %w", listPath, err)
	case sum == nil:
		return fmt.Errorf("the list of sums %q: %w %q", listPath, ErrNotListed, base)
	}
	return compare(r, sum)
}

// listedSum returns the sum of the file with this name, or nil if the list has none.
// Every line must have the format of sha256sum and sha512sum of the GNU coreutils: the
// sum in hexadecimal, a space, a second space or, for binary mode, an asterisk, and the
// name. In a line that begins with a backslash, \\, \n and \r in the name stand for a
// backslash, a newline and a carriage return. Source: the section "cksum output modes"
// of the coreutils manual.
func listedSum(list []byte, name string) ([]byte, error) {
	var found []byte
	lines := bufio.NewScanner(bytes.NewReader(list))
	lines.Buffer(nil, maxSumsFile+1)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if line == "" {
			continue
		}
		sum, listed, ok := parseSum(line)
		switch {
		case !ok:
			return nil, fmt.Errorf("line %d is not a SHA-256 or SHA-512 sum, two spaces or \" *\", and a name: %s", n, wire.Quote(line))
		case path.Base(listed) != name:
		case found != nil && !bytes.Equal(found, sum):
			return nil, fmt.Errorf("line %d has another sum for %q than an earlier line", n, name)
		default:
			found = sum
		}
	}
	return found, lines.Err()
}

func parseSum(line string) (sum []byte, name string, ok bool) {
	line, escaped := strings.CutPrefix(line, `\`)
	digits, name, ok := strings.Cut(line, " ")
	if !ok || name == "" || name[0] != ' ' && name[0] != '*' {
		return nil, "", false
	}
	name = name[1:]
	sum, err := hex.DecodeString(digits)
	if err != nil || len(sum) != sha256.Size && len(sum) != sha512.Size {
		return nil, "", false
	}
	if escaped {
		name, ok = unescape(name)
	}
	return sum, name, ok && name != ""
}

// unescape undoes the escapes in a name.
func unescape(name string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] != '\\' {
			b.WriteByte(name[i])
			continue
		}
		if i++; i == len(name) {
			return "", false
		}
		switch name[i] {
		case '\\':
			b.WriteByte('\\')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		default:
			return "", false
		}
	}
	return b.String(), true
}

// The parts of minisign's files: https://jedisct1.github.io/minisign/, sections
// "Signature format" and "Public key format".
const (
	untrustedPrefix = "untrusted comment:"
	trustedPrefix   = "trusted comment: "
	minisignLegacy  = "Ed"
	minisignHashed  = "ED"
	minisignKeyID   = 8 // bytes after the algorithm
)

// MinisignKey parses a public key of minisign: text is the file that minisign writes,
// or its second line alone.
func MinisignKey(text string) (ed25519.PublicKey, error) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) == 2 && strings.HasPrefix(lines[0], untrustedPrefix) {
		lines = lines[1:]
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(lines[0]))
	if err != nil || len(lines) != 1 || len(raw) != len(minisignLegacy)+minisignKeyID+ed25519.PublicKeySize ||
		!bytes.HasPrefix(raw, []byte(minisignLegacy)) {
		return nil, errors.New("verify: this is not a public key of minisign")
	}
	return ed25519.PublicKey(raw[len(minisignLegacy)+minisignKeyID:]), nil
}

// checkSignature checks a signature over message: sig is the signature's bytes, or a
// file of minisign.
func checkSignature(key ed25519.PublicKey, message, sig []byte) error {
	if len(sig) == ed25519.SignatureSize {
		if !ed25519.Verify(key, message, sig) {
			return ErrSignature
		}
		return nil
	}
	lines := strings.Split(strings.TrimRight(string(sig), "\r\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSuffix(line, "\r")
	}
	if len(lines) != 4 || !strings.HasPrefix(lines[0], untrustedPrefix) || !strings.HasPrefix(lines[2], trustedPrefix) {
		return fmt.Errorf("it has neither the %d bytes of an Ed25519 signature nor the four lines of minisign's", ed25519.SignatureSize)
	}
	raw, err := base64.StdEncoding.DecodeString(lines[1])
	if err != nil || len(raw) != len(minisignLegacy)+minisignKeyID+ed25519.SignatureSize {
		return errors.New("its second line is not a signature of minisign's")
	}
	switch algorithm := string(raw[:len(minisignLegacy)]); algorithm {
	case minisignLegacy:
	case minisignHashed:
		return errors.New("it signs a BLAKE2b hash, which is not supported; sign with minisign's option -l")
	default:
		return fmt.Errorf("its algorithm is %q, and only minisign's %q is supported", algorithm, minisignLegacy)
	}
	signature := raw[len(minisignLegacy)+minisignKeyID:]
	global, err := base64.StdEncoding.DecodeString(lines[3])
	if err != nil {
		return errors.New("its fourth line is not a signature of minisign's")
	}
	comment := strings.TrimPrefix(lines[2], trustedPrefix)
	if !ed25519.Verify(key, message, signature) || !ed25519.Verify(key, slices.Concat(signature, []byte(comment)), global) {
		return ErrSignature
	}
	return nil
}
