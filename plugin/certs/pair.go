package certs

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/tenonrpc/tenon/plugin/internal/files"
	"github.com/tenonrpc/tenon/wire"
)

// Pair is a certificate with its private key. It must not be changed once it is used;
// then it may be used by several goroutines at once.
type Pair struct {
	Leaf *x509.Certificate
	// Intermediates lead from Leaf to an authority that peers trust. Those of this
	// package's making need none.
	Intermediates []*x509.Certificate
	Key           crypto.Signer
}

// The labels of PEM blocks. Source: RFC 7468 §5 and §10, RFC 5915 §4.
const (
	pemCertificate = "CERTIFICATE"
	pemKey         = "PRIVATE KEY"
	pemECKey       = "EC PRIVATE KEY"
	pemRSAKey      = "RSA PRIVATE KEY"
	pemEncrypted   = "ENCRYPTED PRIVATE KEY"
)

// TLS returns the certificate as package crypto/tls has it.
func (p *Pair) TLS() tls.Certificate {
	c := tls.Certificate{Certificate: [][]byte{p.Leaf.Raw}, PrivateKey: p.Key, Leaf: p.Leaf}
	for _, i := range p.Intermediates {
		c.Certificate = append(c.Certificate, i.Raw)
	}
	return c
}

// CertificatePEM returns the certificate, and those that follow it, in PEM.
func (p *Pair) CertificatePEM() []byte {
	return CertificatesPEM(append([]*x509.Certificate{p.Leaf}, p.Intermediates...)...)
}

// CertificatesPEM returns certificates in PEM. The file of trusted authorities, during a
// rotation for example, is CertificatesPEM(old.Leaf, new.Leaf).
func CertificatesPEM(certificates ...*x509.Certificate) []byte {
	var b bytes.Buffer
	for _, c := range certificates {
		pem.Encode(&b, &pem.Block{Type: pemCertificate, Bytes: c.Raw}) // a Buffer takes all
	}
	return b.Bytes()
}

// KeyPEM returns the private key as PKCS #8 in PEM. It is a secret.
func (p *Pair) KeyPEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(p.Key)
	if err != nil {
		return nil, fmt.Errorf("certs: the private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}), nil
}

// Write writes the certificate to one file, which everybody may read (mode 0644), and
// the key to another, which only this user may (mode 0600). If key is empty, both are
// written to one file with mode 0600: it alone can be replaced in one step, and so is
// best for certificates that are replaced while programs run. Existing files are
// replaced atomically, and each stays as it was if that fails.
//
// On Windows, whoever may read the files of the directory can read the key: choose a
// directory below the user's own. Windows does not replace a file that is being read at
// the moment, either: try again.
func (p *Pair) Write(certificate, key string) error {
	secret, err := p.KeyPEM()
	if err != nil {
		return err
	}
	if key == "" || key == certificate {
		return write(certificate, append(p.CertificatePEM(), secret...), privateMode)
	}
	// The key comes first: whoever finds the new certificate finds its key, too.
	if err := write(key, secret, privateMode); err != nil {
		return err
	}
	return WriteCertificates(certificate, append([]*x509.Certificate{p.Leaf}, p.Intermediates...)...)
}

// WriteCertificates writes certificates, such as those of the trusted authorities, to a
// file that everybody may read (mode 0644). An existing file is replaced atomically.
func WriteCertificates(path string, certificates ...*x509.Certificate) error {
	return write(path, CertificatesPEM(certificates...), publicMode)
}

// The modes of files with a key and without.
const (
	privateMode fs.FileMode = 0o600
	publicMode  fs.FileMode = 0o644
)

func write(path string, data []byte, mode fs.FileMode) error {
	if err := files.Replace(path, data, mode); err != nil {
		return fmt.Errorf("certs: writing %q: %w", path, err)
	}
	return nil
}

// Load reads a certificate, with those that lead to its authority after it, and its
// private key. If key is empty, both are in one file. Besides PKCS #8, keys may be in
// the older forms for ECDSA and RSA, but not encrypted.
//
// It refuses a key that others can read, and any file that others can write: one with
// such a mode, or one that belongs neither to this process's user nor to root. Windows
// has no such owners and modes: nothing is checked there.
func Load(certificate, key string) (*Pair, error) {
	c, err := read(certificate, key == "" || key == certificate)
	if err != nil {
		return nil, err
	}
	k := c
	if key != "" && key != certificate {
		if k, err = read(key, true); err != nil {
			return nil, err
		}
	}
	p, err := parsePair(c, k)
	if err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	return p, nil
}

// LoadCA reads an authority, as Load reads a certificate.
func LoadCA(certificate, key string) (*CA, error) {
	p, err := Load(certificate, key)
	if err != nil {
		return nil, err
	}
	if !p.Leaf.IsCA {
		return nil, fmt.Errorf("certs: %q: %s is no authority: it may not sign certificates", certificate, called(p.Leaf))
	}
	return &CA{*p}, nil
}

// LoadCertificates reads the certificates of authorities. It refuses a file that others
// can write, as Load does.
func LoadCertificates(path string) ([]*x509.Certificate, error) {
	f, err := read(path, false)
	if err != nil {
		return nil, err
	}
	cas, err := f.certificates()
	if err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	return cas, nil
}

// file is a file that was read, as far as its contents matter.
type file struct {
	path string
	info fs.FileInfo
	data []byte
}

// read reads a file that only those could write who may decide whom we trust, and, if it
// is secret, only they could read.
func read(path string, secret bool) (*file, error) {
	f, info, err := files.Read(path)
	if err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	defer f.Close()
	mode := info.Mode().Perm()
	switch {
	case !files.Trusted(info):
		return nil, fmt.Errorf("certs: %q belongs to another user, who decides what is in it; use a file that belongs to this user or to root", path)
	case files.HasModes && mode&0o022 != 0:
		return nil, fmt.Errorf("certs: %q has mode %04o: others can write to it, and so decide who is trusted; chmod go-w protects it", path, mode)
	case files.HasModes && mode&0o044 != 0 && secret:
		return nil, fmt.Errorf("certs: %q has mode %04o: it holds a private key, and others can read it; make a new key, in a file with mode 0600", path, mode)
	case info.Size() > maxFile:
		return nil, fmt.Errorf("certs: %q has %d bytes; certificates and keys are at most %d", path, info.Size(), maxFile)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	return &file{path, info, data}, nil
}

// begin is how every PEM block begins.
var begin = []byte("-----BEGIN ")

// blocks returns the PEM blocks of a file. Text around them is ignored, but not a block
// that is damaged, such as one that is being written at the moment.
func (f *file) blocks() ([]*pem.Block, error) {
	var out []*pem.Block
	for rest := f.data; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		if len(out) == maxCertificates {
			return nil, fmt.Errorf("%q has more than %d PEM blocks", f.path, maxCertificates)
		}
		out = append(out, b)
	}
	switch n := bytes.Count(f.data, begin); {
	case n == 0:
		return nil, fmt.Errorf("%q has no PEM block (a text that begins with %s); is it another file, or in another format?", f.path, begin)
	case n != len(out):
		return nil, fmt.Errorf("%q has a PEM block that is damaged, or not whole; replace the file in one step, by renaming", f.path)
	}
	return out, nil
}

// certificates returns the certificates of a file.
func (f *file) certificates() ([]*x509.Certificate, error) {
	blocks, err := f.blocks()
	if err != nil {
		return nil, err
	}
	var out []*x509.Certificate
	for _, b := range blocks {
		if b.Type != pemCertificate {
			continue
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%q: certificate %d: %s", f.path, len(out)+1, wire.Printable(err.Error(), maxText))
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%q has no certificate; its first PEM block is a %s", f.path, wire.Quote(blocks[0].Type))
	}
	return out, nil
}

// key returns the private key of a file. The errors of parsers are left out: they may
// quote what they parse.
func (f *file) key() (crypto.Signer, error) {
	blocks, err := f.blocks()
	if err != nil {
		return nil, err
	}
	var found *pem.Block
	for _, b := range blocks {
		switch b.Type {
		case pemKey, pemECKey, pemRSAKey, pemEncrypted:
			if found != nil {
				return nil, fmt.Errorf("%q has several private keys; leave the certificate's", f.path)
			}
			found = b
		}
	}
	if found == nil {
		return nil, fmt.Errorf("%q has no private key", f.path)
	}
	if found.Type == pemEncrypted || found.Headers["DEK-Info"] != "" {
		return nil, fmt.Errorf("%q: the private key is encrypted; decrypt it, with openssl pkey for example, into a file with mode 0600", f.path)
	}
	var parsed any
	switch found.Type {
	case pemKey:
		parsed, err = x509.ParsePKCS8PrivateKey(found.Bytes)
	case pemECKey:
		parsed, err = x509.ParseECPrivateKey(found.Bytes)
	case pemRSAKey:
		parsed, err = x509.ParsePKCS1PrivateKey(found.Bytes)
	}
	signer, ok := parsed.(crypto.Signer)
	if err != nil || !ok {
		return nil, fmt.Errorf("%q: the private key is damaged, or of a kind that is not supported; use ECDSA, Ed25519 or RSA", f.path)
	}
	return signer, nil
}

// parsePair returns the certificate of one file and the key of another, or of the same.
func parsePair(certificate, key *file) (*Pair, error) {
	chain, err := certificate.certificates()
	if err != nil {
		return nil, err
	}
	signer, err := key.key()
	if err != nil {
		return nil, err
	}
	p := &Pair{Leaf: chain[0], Intermediates: chain[1:], Key: signer}
	if err := p.match(); err != nil {
		return nil, fmt.Errorf("%q, %q: %w", certificate.path, key.path, err)
	}
	return p, nil
}

// match returns an error unless the key is the certificate's.
func (p *Pair) match() error {
	public, ok := p.Key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return errors.New("the private key is of a kind that is not supported; use ECDSA, Ed25519 or RSA")
	}
	if !public.Equal(p.Leaf.PublicKey) {
		return fmt.Errorf("%w: it is not that of %s; the certificate must be the first in its file", ErrKey, called(p.Leaf))
	}
	return nil
}
