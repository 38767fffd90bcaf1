package verify

import "crypto/ed25519"

// ListedSum returns the sum that a list has for a name.
func ListedSum(list []byte, name string) ([]byte, error) { return listedSum(list, name) }

// CheckSignature checks a signature in any of the forms that are accepted.
func CheckSignature(key ed25519.PublicKey, message, sig []byte) error {
	return checkSignature(key, message, sig)
}
