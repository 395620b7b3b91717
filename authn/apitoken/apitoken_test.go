package apitoken

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"regexp"
	"strings"
	"testing"

	"gatehouse/authn"
)

// form is how the contract writes a token.
var form = regexp.MustCompile(`^gth[pm]_[0-9A-Za-z]{48}$`)

// TestNew: what is made is read again, has the form, and no two are alike.
func TestNew(t *testing.T) {
	seen := map[string]bool{}
	for _, kind := range []Kind{Personal, Machine} {
		for range 1000 {
			text := kind.New()
			token, err := Parse(text)
			sum := sha256.Sum256([]byte(text))
			if err != nil || !form.MatchString(string(text)) || !kind.Looks(text) || token.Kind != kind || token.ID != string(text)[5:15] || token.Hash != sum || seen[token.ID] {
				t.Fatalf("%q: %+v, %v", string(text), token, err)
			}
			seen[token.ID] = true
		}
	}
}

// TestChecksum holds the checksum against another way to write the number.
func TestChecksum(t *testing.T) {
	if got := checksum("gthm_" + strings.Repeat("0", 42)); len(got) != 6 {
		t.Errorf("%q", got)
	}
	for i := range 2000 {
		text := fmt.Sprint("gthm_", i)
		var n uint64
		for _, c := range checksum(text) {
			n = n*62 + uint64(strings.IndexRune(digits, c))
		}
		if n != uint64(crc32.ChecksumIEEE([]byte(text))) {
			t.Fatalf("%q: %d", text, n)
		}
	}
}

// TestRandom: each digit is about as frequent as any other.
func TestRandom(t *testing.T) {
	count := map[rune]int{}
	for _, c := range random(62_000) {
		count[c]++
	}
	for _, c := range digits {
		if n := count[c]; n < 800 || n > 1200 {
			t.Errorf("%c stands %d times, want about 1000", c, n)
		}
	}
}

// TestParseRefuses: nothing but a token is one, and the error holds none of it.
func TestParseRefuses(t *testing.T) {
	good := string(Machine.New())
	swap := func(at int, c byte) string { return good[:at] + string(c) + good[at+1:] }
	other := func(c byte) byte { return digits[(strings.IndexByte(digits, c)+1)%62] }
	for _, text := range []string{
		"", "gthm_", "gthp_", good[:52], good + "0", " " + good, good + "\n", "gthx_" + good[5:], "GTHM_" + good[5:], "gthp_" + good[5:],
		swap(20, '-'), swap(20, '_'), swap(20, 0), swap(20, 0xc3), swap(52, other(good[52])), swap(5, other(good[5])), swap(30, other(good[30])),
		strings.Repeat("gthm_", 4000), good[:47] + "zzzzzz", strings.ToUpper(good), good[5:],
	} {
		token, err := Parse(authn.Secret(text))
		if err == nil || token != (Token{}) {
			t.Errorf("%q is %+v", text, token)
		} else if len(text) > 20 && strings.Contains(err.Error(), text[10:20]) {
			t.Errorf("the error shows the token: %v", err)
		}
	}
}

// TestEveryCharacterCounts: a token with any one character changed is none.
func TestEveryCharacterCounts(t *testing.T) {
	good := []byte(Personal.New())
	for i := 5; i < len(good); i++ {
		for _, c := range []byte(digits) {
			text := append([]byte(nil), good...)
			if text[i] = c; c == good[i] {
				continue
			}
			if _, err := Parse(authn.Secret(text)); err == nil {
				t.Fatalf("%q passes for %q", text, good)
			}
		}
	}
}

func TestHash(t *testing.T) {
	token, err := Parse(Machine.New())
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseHash(token.Hash.String())
	if err != nil || !again.Equal(token.Hash) || again.Equal(Hash{}) {
		t.Errorf("%v, %v", again, err)
	}
	if upper, err := ParseHash("sha256:" + strings.ToUpper(hex.EncodeToString(token.Hash[:]))); err != nil || upper != token.Hash {
		t.Errorf("%v, %v", upper, err)
	}
	long := token.Hash.String()
	for _, text := range []string{"", "sha256:", long[7:], long + "0", long[:len(long)-1], long + "00", "sha512:" + long[7:], "SHA256:" + long[7:],
		"sha256:" + strings.Repeat("g", 64), " " + long, string(Machine.New()), "sha256:" + strings.Repeat("0", 10_000)} {
		if h, err := ParseHash(text); err == nil || h != (Hash{}) {
			t.Errorf("%q is %v", text, h)
		}
	}
}
