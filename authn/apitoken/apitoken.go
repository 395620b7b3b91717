// Package apitoken is the format of the tokens that programs show in the place of a
// password: those of machines, which the config knows by their hash, and those that
// people make for their own programs.
//
// A token is five characters that say its kind, ten of id, 32 of secret and six of
// checksum, 53 in all. The checksum tells a mistyped or invented token before anything
// is looked up, and a scanner of sources finds tokens by their form. The id is no
// secret: lists, logs and audit records show it. What is kept of a token is its hash.
package apitoken

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"strings"

	"gatehouse/authn"
)

// Kind is what a token begins with.
type Kind string

// The kinds.
const (
	Personal Kind = "gthp_" // of a person's program
	Machine  Kind = "gthm_" // of a machine of the config
)

const (
	digits      = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	idSize      = 10
	secretSize  = 32
	checkedSize = len(Machine) + idSize + secretSize
	sumSize     = 6
	size        = checkedSize + sumSize
)

// Looks reports whether a password is to be taken for a token of that kind, good or
// not: such a one is never shown to anybody who checks passwords.
func (k Kind) Looks(password authn.Secret) bool {
	return strings.HasPrefix(string(password), string(k))
}

// New makes a token.
func (k Kind) New() authn.Secret {
	text := string(k) + random(idSize+secretSize)
	return authn.Secret(text + checksum(text))
}

// random is n digits, each as likely as any other: bytes beyond the last whole run of
// the digits are thrown away.
func random(n int) string {
	const fair = 256 / len(digits) * len(digits)
	var text strings.Builder
	for b := make([]byte, 1); text.Len() < n; {
		rand.Read(b) // never fails: it would end the program
		if int(b[0]) < fair {
			text.WriteByte(digits[int(b[0])%len(digits)])
		}
	}
	return text.String()
}

// checksum is the CRC-32 (IEEE) of the text in base 62, the most significant digit first.
func checksum(text string) string {
	var sum [sumSize]byte
	for n, i := crc32.ChecksumIEEE([]byte(text)), sumSize-1; i >= 0; i-- {
		sum[i] = digits[n%uint32(len(digits))]
		n /= uint32(len(digits))
	}
	return string(sum[:])
}

// The ways a text can be no token. None of them holds any of it.
var (
	errForm     = errors.New("not 53 characters of 0-9, A-Z and a-z behind gthp_ or gthm_")
	errChecksum = errors.New("the checksum is wrong")
)

// Token is one whose form and checksum are good, which says nothing of who knows it.
type Token struct {
	// Kind is what it begins with.
	Kind Kind
	// ID is its ten characters of id.
	ID string
	// Hash is what is known of it.
	Hash Hash
}

// Parse reads a token. It looks at the text alone.
func Parse(text authn.Secret) (Token, error) {
	s := string(text)
	kind := Kind(s[:min(len(s), len(Machine))])
	if len(s) != size || kind != Personal && kind != Machine || strings.Trim(s[len(kind):], digits) != "" {
		return Token{}, errForm
	}
	if checksum(s[:checkedSize]) != s[checkedSize:] {
		return Token{}, errChecksum
	}
	return Token{Kind: kind, ID: s[len(kind) : len(kind)+idSize], Hash: sha256.Sum256([]byte(s))}, nil
}

// Hash is the SHA-256 of a whole token.
type Hash [sha256.Size]byte

const algorithm = "sha256:"

// ParseHash reads a hash as the config writes it: sha256: and 64 hexadecimal digits.
func ParseHash(text string) (h Hash, err error) {
	encoded, ok := strings.CutPrefix(text, algorithm)
	n, err := hex.Decode(h[:], []byte(encoded[:min(len(encoded), 2*len(h)+1)]))
	if !ok || err != nil || n != len(h) || len(encoded) != 2*len(h) {
		return Hash{}, errors.New("is no hash of a token: sha256: and 64 hexadecimal digits, as gatehouse token new prints it")
	}
	return h, nil
}

// String is the hash as the config writes it.
func (h Hash) String() string { return algorithm + hex.EncodeToString(h[:]) }

// Equal compares in constant time.
func (h Hash) Equal(other Hash) bool { return subtle.ConstantTimeCompare(h[:], other[:]) == 1 }
