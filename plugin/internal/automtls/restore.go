package automtls

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
)

// ErrRestore reports a stored identity that is damaged.
var ErrRestore = errors.New("automtls: the kept certificate and key do not belong together")

// Key returns the private key in PKCS #8. It is a secret: whoever has it and the
// certificate can act as this identity.
func (id *Identity) Key() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(id.key)
	if err != nil {
		return nil, fmt.Errorf("automtls: writing the key: %w", err)
	}
	return der, nil
}

// Restore returns the identity with the given DER and Key: for a host that attaches again
// to a plugin, which recognizes the host by its certificate. The error wraps ErrRestore,
// and does not contain the key.
func Restore(der, key []byte) (*Identity, error) {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: the certificate cannot be read", ErrRestore)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("%w: the key cannot be read", ErrRestore)
	}
	signer, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: the key cannot sign", ErrRestore)
	}
	public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(leaf.PublicKey) {
		return nil, fmt.Errorf("%w: the key belongs to another certificate", ErrRestore)
	}
	return &Identity{key: signer, leaf: leaf}, nil
}
