package tokens

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/x509"
)

// Derive is a secret for another purpose than signing, the same for all gateways whose first
// key is this one; it tells nothing of the key.
func (k *Keyring) Derive(purpose string) (secret [32]byte) {
	der, err := x509.MarshalPKCS8PrivateKey(k.signer.private)
	if err != nil { // none of the kinds that were taken
		return secret
	}
	derived, err := hkdf.Key(sha256.New, der, nil, "gatehouse "+purpose, len(secret))
	if err == nil {
		copy(secret[:], derived)
	}
	return secret
}
