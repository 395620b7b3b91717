package authn

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
)

// digest stands for a name, a person or a password, under the process' own key.
type digest [16]byte

// sealer makes digests under a random key of the process' own, so that what is
// remembered of a password is of no use elsewhere.
type sealer [32]byte

func newSealer() sealer {
	var s sealer
	rand.Read(s[:]) // never fails: it would end the program
	return s
}

func (s *sealer) digest(parts ...string) digest {
	mac := hmac.New(sha256.New, s[:])
	mac.Write([]byte(join(parts...)))
	return digest(mac.Sum(nil)[:16])
}

// join puts parts together so that no two lists give the same text: each has its
// length before it.
func join(parts ...string) string {
	var b []byte
	for _, p := range parts {
		b = binary.AppendUvarint(b, uint64(len(p)))
		b = append(b, p...)
	}
	return string(b)
}
