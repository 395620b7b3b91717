package authn

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sync/singleflight"
)

// The bounds of what a config may ask of our processor and memory at each login.
const (
	bcryptMax      = 72       // bytes of a password that bcrypt looks at
	bcryptCost     = 12       // of HashPassword
	bcryptWeak     = 10       // below: a warning
	bcryptLimit    = 14       // above: refused
	argonMemory    = 19 << 10 // KiB, of HashPassword; with two passes
	argonTime      = 2
	argonWeak      = 7 << 10   // KiB, below: a warning
	argonLimit     = 256 << 10 // KiB
	argonWorkLimit = 1 << 20   // KiB times passes
)

// passwordHash is a parsed hash: bcrypt keeps its text, argon2id salt and key.
type passwordHash struct {
	cost
	text, salt, key []byte
}

var (
	bcryptText = regexp.MustCompile(`^\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}$`)
	argonText  = regexp.MustCompile(`^\$argon2id\$v=19\$m=([0-9]{1,10}),t=([0-9]{1,10}),p=([0-9]{1,3})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$`)

	errHashForm = errors.New("neither bcrypt ($2a$, $2b$, $2y$) nor argon2id ($argon2id$v=19$...); make one with: gatehouse hash-password")
	errWeakHash = errors.New("quick to guess; make a stronger one with: gatehouse hash-password")
)

// parseHash reads bcrypt or argon2id in their usual text forms (the PHC string
// format). weak is a warning about a hash that is good otherwise.
func parseHash(text string) (h passwordHash, weak, err error) {
	if m := bcryptText.FindStringSubmatch(text); m != nil {
		return parseBcrypt(text, m[1])
	}
	if m := argonText.FindStringSubmatch(text); m != nil {
		return parseArgon(m[1:])
	}
	return h, nil, errHashForm
}

func parseBcrypt(text, digits string) (h passwordHash, weak, err error) {
	n, _ := strconv.Atoi(digits)
	switch {
	case n < bcrypt.MinCost:
		return h, nil, errHashForm
	case n > bcryptLimit:
		return h, nil, fmt.Errorf("bcrypt cost %d is too slow for a gateway, at most %d", n, bcryptLimit)
	case n < bcryptWeak:
		weak = fmt.Errorf("bcrypt cost %d: %w", n, errWeakHash)
	}
	return passwordHash{cost: cost{bcrypt: n}, text: []byte(text)}, weak, nil
}

func parseArgon(f []string) (h passwordHash, weak, err error) {
	memory, _ := strconv.ParseUint(f[0], 10, 64)
	passes, _ := strconv.ParseUint(f[1], 10, 64)
	threads, _ := strconv.ParseUint(f[2], 10, 64)
	salt, err1 := base64.RawStdEncoding.Strict().DecodeString(f[3])
	key, err2 := base64.RawStdEncoding.Strict().DecodeString(f[4])
	switch {
	case err1 != nil || err2 != nil || passes < 1 || threads < 1:
		return h, nil, errHashForm
	case threads > 16 || memory < 8*threads || memory > argonLimit || passes > argonWorkLimit || memory*passes > argonWorkLimit:
		return h, nil, fmt.Errorf("argon2id m=%d,t=%d,p=%d is out of bounds: m at most %d KiB and at least 8p, m times t at most %d KiB, p at most 16",
			memory, passes, threads, argonLimit, argonWorkLimit)
	case memory < argonWeak:
		weak = fmt.Errorf("argon2id m=%d: %w", memory, errWeakHash)
	}
	c := cost{memory: uint32(memory), time: uint32(passes), threads: uint8(threads), size: uint32(len(key))}
	return passwordHash{cost: c, salt: salt, key: key}, weak, nil
}

// HashPassword returns a hash for `password_hash`; over 72 bytes it is argon2id,
// because bcrypt ignores what follows. An empty password is an error.
func HashPassword(password Secret) (string, error) {
	switch {
	case password == "":
		return "", errors.New("the password is empty")
	case len(password) <= bcryptMax:
		text, err := bcrypt.GenerateFromPassword([]byte(password), bcryptCost)
		return string(text), err
	}
	salt := make([]byte, 16)
	rand.Read(salt) // never fails: it would end the program
	return hashArgon(password, salt), nil
}

func hashArgon(password Secret, salt []byte) string {
	key := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, 1, 32)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=1$%s$%s", argon2.Version, argonMemory, argonTime, b64(salt), b64(key))
}

// accepts reports whether the hash can be of this password at all: bcrypt never
// looks beyond 72 bytes, so a longer password is refused, not cut.
func (h passwordHash) accepts(password Secret) bool {
	return h.bcrypt == 0 || len(password) <= bcryptMax
}

// matches is the slow comparison.
func (h passwordHash) matches(password Secret) bool {
	if h.bcrypt != 0 {
		return bcrypt.CompareHashAndPassword(h.text, []byte(password)) == nil
	}
	key := argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.threads, h.size)
	return subtle.ConstantTimeCompare(key, h.key) == 1
}

// dummy returns a hash of this cost that nobody knows a password for.
func (c cost) dummy() passwordHash {
	if c.bcrypt != 0 {
		return passwordHash{cost: c, text: fmt.Appendf(nil, "$2b$%02d$%s", c.bcrypt, strings.Repeat(".", 53))}
	}
	return passwordHash{cost: c, salt: make([]byte, 16), key: make([]byte, c.size)}
}

// Hasher compares passwords with hashes. It bounds the comparisons that run at
// once to the cores, and those that wait: hashing is slow on purpose, and must not
// become a way to starve everything else. What a whole cluster asks at the same
// time with one password is one comparison, and a good password is remembered for
// a moment, under a key of the process' own. It outlives reloads.
type Hasher struct {
	slots   chan struct{}
	waiting atomic.Int64
	limit   atomic.Int64
	seal    sealer
	flights singleflight.Group
	good    *lru.Cache[digest, time.Time]
}

const (
	passwordsWaiting = 256 // where the config does not say

	goodFor          = 30 * time.Second
	rememberedLogins = 4096
)

// NewHasher returns a hasher that lets so many comparisons wait.
func NewHasher(waiting int) *Hasher {
	q := &Hasher{slots: make(chan struct{}, runtime.GOMAXPROCS(0)), seal: newSealer()}
	q.good, _ = lru.New[digest, time.Time](rememberedLogins) // fails only for a size below 1
	q.Configure(waiting)
	return q
}

// Configure changes how many comparisons may wait.
func (q *Hasher) Configure(waiting int) { q.limit.Store(int64(waiting)) }

// compare waits for its turn and compares. Comparisons that run at once with the
// same key and password are one. With too many waiting before it the error is a
// *ThrottledError; when ctx ends first, ErrUnavailable.
func (q *Hasher) compare(ctx context.Context, key string, h passwordHash, password Secret) (bool, error) {
	if !h.accepts(password) {
		return false, nil
	}
	workOf(ctx).compared(h.cost)
	id := q.seal.digest("compare", key, string(h.text), string(h.salt), string(h.key), string(password))
	if at, ok := q.good.Get(id); ok && time.Since(at) < goodFor {
		workOf(ctx).recall()
		return true, nil
	}
	// The comparison goes on where its first caller leaves: others wait for it.
	done := q.flights.DoChan(string(id[:]), func() (any, error) { return q.run(id, h, password) })
	select {
	case result := <-done:
		same, _ := result.Val.(bool)
		return same, result.Err
	case <-ctx.Done():
		return false, fmt.Errorf("%w: waiting to compare a password: %w", ErrUnavailable, ctx.Err())
	}
}

func (q *Hasher) run(id digest, h passwordHash, password Secret) (bool, error) {
	waiting := q.waiting.Add(1)
	if waiting > q.limit.Load()+int64(cap(q.slots)) {
		q.waiting.Add(-1)
		return false, &ThrottledError{RetryAfter: 2 * time.Second, Limit: "passwords_waiting"}
	}
	defer q.waiting.Add(-1)
	q.slots <- struct{}{}
	defer func() { <-q.slots }()
	same := h.matches(password)
	if same {
		q.good.Add(id, time.Now())
	}
	return same, nil
}
