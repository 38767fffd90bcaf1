package automtls

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"math/big"
	"time"
)

// The certificate is encoded by hand: it is one fixed structure with five values in it.
// x509.CreateCertificate would return the same bytes (a test checks that), but then
// verifies its own signature, which on P-521 takes longer than everything else between a
// host's start and the plugin's first answer, and it adds encoding/asn1's reflection to
// every plugin.
//
// Source: RFC 5280 §4.1 and appendix A for the structure, X.690 for DER, RFC
// 5758 §3.2 and RFC 5480 §2.1.1 for the ECDSA identifiers.

// DER tags.
const (
	tagBoolean         = 0x01
	tagInteger         = 0x02
	tagBitString       = 0x03
	tagOctetString     = 0x04
	tagOID             = 0x06
	tagPrintableString = 0x13
	tagUTCTime         = 0x17
	tagGeneralizedTime = 0x18
	tagSequence        = 0x30
	tagSet             = 0x31
	tagDNSName         = 0x82 // [2] IMPLICIT IA5String, in GeneralName
	tagVersion         = 0xa0 // [0] EXPLICIT, in TBSCertificate
	tagExtensions      = 0xa3 // [3] EXPLICIT, in TBSCertificate
)

// Object identifiers, encoded.
var (
	oidECPublicKey  = []byte{0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01}       // 1.2.840.10045.2.1
	oidP256         = []byte{0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07} // 1.2.840.10045.3.1.7
	oidP384         = []byte{0x2b, 0x81, 0x04, 0x00, 0x22}                   // 1.3.132.0.34
	oidP521         = []byte{0x2b, 0x81, 0x04, 0x00, 0x23}                   // 1.3.132.0.35
	oidECDSASHA256  = []byte{0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02} // 1.2.840.10045.4.3.2
	oidECDSASHA384  = []byte{0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03} // 1.2.840.10045.4.3.3
	oidECDSASHA512  = []byte{0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04} // 1.2.840.10045.4.3.4
	oidOrganization = []byte{0x55, 0x04, 0x0a}                               // 2.5.4.10
	oidCommonName   = []byte{0x55, 0x04, 0x03}                               // 2.5.4.3
	oidSubjectKeyID = []byte{0x55, 0x1d, 0x0e}                               // 2.5.29.14
	oidKeyUsage     = []byte{0x55, 0x1d, 0x0f}                               // 2.5.29.15
	oidSubjectAlt   = []byte{0x55, 0x1d, 0x11}                               // 2.5.29.17
	oidBasic        = []byte{0x55, 0x1d, 0x13}                               // 2.5.29.19
	oidExtKeyUsage  = []byte{0x55, 0x1d, 0x25}                               // 2.5.29.37
	oidServerAuth   = []byte{0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01} // 1.3.6.1.5.5.7.3.1
	oidClientAuth   = []byte{0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02} // 1.3.6.1.5.5.7.3.2
	derTrue         = tlv(tagBoolean, []byte{0xff})
	keyUsageBits    = []byte{2, 0b1010_1100} // two unused bits; digitalSignature, keyEncipherment, keyAgreement, keyCertSign
)

const (
	keyIDLength      = 20   // RFC 7093 §2: the leftmost 160 bits
	firstGeneralized = 2050 // RFC 5280 §4.1.2.5: UTCTime before, GeneralizedTime from then on
)

// organization is the subject and the issuer of the protocol's certificates.
const organization = "HashiCorp"

// selfSigned returns the protocol's certificate for key in DER.
func selfSigned(curve Curve, key *ecdsa.PrivateKey, serial *big.Int, now time.Time) ([]byte, error) {
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	curveID, algorithmID := oidP521, oidECDSASHA512
	switch curve {
	case P384:
		curveID, algorithmID = oidP384, oidECDSASHA384
	case P256:
		curveID, algorithmID = oidP256, oidECDSASHA256
	}
	algorithm := tlv(tagSequence, tlv(tagOID, algorithmID))
	name := tlv(tagSequence, attribute(oidOrganization, organization), attribute(oidCommonName, serverName))
	tbs := tlv(tagSequence,
		tlv(tagVersion, tlv(tagInteger, []byte{2})), // version 3
		tlv(tagInteger, unsigned(serial)),
		algorithm,
		name,
		tlv(tagSequence, timestamp(now.Add(-backdate)), timestamp(now.Add(lifetime))),
		name,
		tlv(tagSequence,
			tlv(tagSequence, tlv(tagOID, oidECPublicKey), tlv(tagOID, curveID)),
			tlv(tagBitString, []byte{0}, point)),
		// Peers that verify a chain, as go-plugin does, take this certificate for the
		// only root and look for "localhost" in it. Therefore it is its own authority,
		// and has both extended usages.
		tlv(tagExtensions, tlv(tagSequence,
			extension(oidKeyUsage, true, tlv(tagBitString, keyUsageBits)),
			extension(oidExtKeyUsage, false, tlv(tagSequence, tlv(tagOID, oidClientAuth), tlv(tagOID, oidServerAuth))),
			extension(oidBasic, true, tlv(tagSequence, derTrue)),
			extension(oidSubjectKeyID, false, tlv(tagOctetString, keyID(point))),
			extension(oidSubjectAlt, false, tlv(tagSequence, tlv(tagDNSName, []byte(serverName)))),
		)),
	)
	signature, err := ecdsa.SignASN1(rand.Reader, key, curve.digest(tbs))
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return tlv(tagSequence, tbs, algorithm, tlv(tagBitString, []byte{0}, signature)), nil
}

// digest returns the hash of b that goes with the curve.
func (c Curve) digest(b []byte) []byte {
	switch c {
	case P384:
		h := sha512.Sum384(b)
		return h[:]
	case P256:
		h := sha256.Sum256(b)
		return h[:]
	}
	h := sha512.Sum512(b)
	return h[:]
}

// keyID is a subject key identifier: RFC 7093 §2, method 1.
func keyID(point []byte) []byte {
	h := sha256.Sum256(point)
	return h[:keyIDLength]
}

// tlv encodes a tag, a length and the content, which is the concatenation of parts. It
// and the functions below that use it are called often, but only for one certificate:
// inlined, they would add 20 KB to every plugin.
//
//go:noinline
func tlv(tag byte, parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	out := []byte{tag}
	switch {
	case n < 0x80:
		out = append(out, byte(n))
	case n < 0x100:
		out = append(out, 0x81, byte(n))
	default: // a certificate is far below 64 KiB
		out = append(out, 0x82, byte(n>>8), byte(n))
	}
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// unsigned returns the content of a non-negative INTEGER.
//
//go:noinline
func unsigned(n *big.Int) []byte {
	b := n.Bytes()
	if len(b) == 0 || b[0]&0x80 != 0 {
		b = append([]byte{0}, b...)
	}
	return b
}

// attribute returns a RelativeDistinguishedName of one attribute.
//
//go:noinline
func attribute(oid []byte, value string) []byte {
	return tlv(tagSet, tlv(tagSequence, tlv(tagOID, oid), tlv(tagPrintableString, []byte(value))))
}

//go:noinline
func extension(oid []byte, critical bool, content []byte) []byte {
	value := tlv(tagOctetString, content)
	if critical {
		return tlv(tagSequence, tlv(tagOID, oid), derTrue, value)
	}
	return tlv(tagSequence, tlv(tagOID, oid), value)
}

//go:noinline
func timestamp(t time.Time) []byte {
	t = t.UTC()
	if t.Year() < firstGeneralized {
		return tlv(tagUTCTime, []byte(t.Format("060102150405Z")))
	}
	return tlv(tagGeneralizedTime, []byte(t.Format("20060102150405Z")))
}
