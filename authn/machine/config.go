package machine

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/apitoken"
)

// Machine is one machine of the config: an entry of `machines`.
type Machine struct {
	// Name is what rules, logs and audit records call it: components of a-z, 0-9, ".",
	// "_" and "-" joined by "/", 256 bytes at most.
	Name string `yaml:"name,required"`
	// Groups are the names of its groups, in any letter case. Default empty.
	Groups []string `yaml:"groups"`
	// Networks are CIDRs or addresses that it may log in from. Empty: anywhere.
	Networks []string `yaml:"networks"`
	// Tokens are what it may show, one, or two while they are rotated. Required.
	Tokens []Token `yaml:"tokens,needed"`
}

// Token is what is known of a machine's token.
type Token struct {
	// Hash is sha256: and 64 hexadecimal digits, as `gatehouse token new` prints it.
	Hash string `yaml:"hash,required"`
	// Expires is a day, at whose end in UTC the token ends, a moment (RFC 3339), or
	// never. Default never, with a warning.
	Expires Expiry `yaml:"expires"`
	// Note is for whoever keeps the config; warnings and `token inspect` show it. Default empty.
	Note string `yaml:"note"`
}

// Expiry is the end of a token; zero: never.
type Expiry struct {
	time.Time
	unread bool // what stood there was none
}

// Never is how an Expiry without an end is written.
const Never = "never"

// UnmarshalText reads what Token.Expires may be.
func (e *Expiry) UnmarshalText(text []byte) error {
	if string(text) == Never {
		*e = Expiry{}
		return nil
	}
	if day, err := time.Parse(time.DateOnly, string(text)); err == nil {
		e.Time = day.AddDate(0, 0, 1)
		return nil
	}
	at, err := time.Parse(time.RFC3339, string(text))
	if e.unread = err != nil; e.unread {
		return fmt.Errorf("must be a day such as 2027-03-01, a moment such as 2027-03-01T12:00:00Z, or never, not %.100q", text)
	}
	e.Time = at
	return nil
}

// Ended reports whether the token has ended.
func (e Expiry) Ended(now time.Time) bool { return !e.IsZero() && !now.Before(e.Time) }

// MarshalText writes it as the config has it.
func (e Expiry) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// String is the moment in UTC, or never.
func (e Expiry) String() string {
	if e.IsZero() {
		return Never
	}
	return e.UTC().Format(time.RFC3339)
}

const (
	maxName   = 256
	maxTokens = 2
	// soon is how long before the end of its last token a machine is warned of.
	soon = 14 * 24 * time.Hour
)

// ValidName reports whether a machine may be called so.
func ValidName(name string) bool {
	if len(name) > maxName {
		return false
	}
	for component := range strings.SplitSeq(name, "/") {
		if strings.Trim(component, "abcdefghijklmnopqrstuvwxyz0123456789._-") != "" || component == "" || component == "." || component == ".." {
			return false
		}
	}
	return true
}

// builder makes a Directory of its config, and gathers what is wrong.
type builder struct {
	authn.Faults
	directory *Directory
	now       time.Time
}

func (b *builder) add(key string, m Machine) {
	d := b.directory
	switch _, taken := d.machines[m.Name]; {
	case !ValidName(m.Name):
		b.Add(key+".name", fmt.Errorf("%.300q is no name of a machine: a-z, 0-9, \".\", \"_\" and \"-\", in parts joined by \"/\", none of them . or .., 256 bytes at most", m.Name))
	case taken:
		b.Add(key+".name", fmt.Errorf("%q stands twice in this directory", m.Name))
	}
	made := &member{id: authn.Identity{Directory: d.name, Username: m.Name, ID: "machine:" + m.Name, Machine: true}}
	made.id.Groups = b.groups(key+".groups", m.Groups)
	made.networks = b.networks(key+".networks", m.Networks)
	d.machines[m.Name] = made
	b.checkEnds(key+".tokens", m.Tokens)
	for i, t := range m.Tokens {
		b.token(fmt.Sprintf("%s.tokens[%d]", key, i), made, t)
	}
}

func (b *builder) groups(key string, names []string) []authn.Group {
	var groups []authn.Group
	for i, name := range names {
		if authn.NormalizeName(name) == "" {
			b.Add(fmt.Sprintf("%s[%d]", key, i), errors.New("an empty group name"))
		}
		groups = append(groups, authn.Group{Name: authn.NormalizeName(name)})
	}
	slices.SortFunc(groups, func(a, b authn.Group) int { return cmp.Compare(a.Name, b.Name) })
	return slices.Compact(groups)
}

func (b *builder) networks(key string, texts []string) []netip.Prefix {
	var list []netip.Prefix
	for i, text := range texts {
		network, err := authn.ParseNetwork(text)
		if at := fmt.Sprintf("%s[%d]", key, i); errors.Is(err, authn.ErrHostBits) {
			b.Warn(at, err)
		} else {
			b.Add(at, err)
		}
		list = append(list, network)
	}
	return list
}

func (b *builder) token(key string, m *member, t Token) {
	hash, err := apitoken.ParseHash(t.Hash)
	if err == nil && b.directory.held(hash) != nil {
		err = errors.New("stands twice; each machine needs tokens of its own")
	}
	b.Add(key+".hash", err)
	if err == nil {
		b.directory.hold(newToken(m, hash, t))
	}
	if t.Expires.IsZero() && !t.Expires.unread {
		b.Warn(key+".expires", errors.New("the token never ends: if it leaks it is good until somebody sees it; give it a day, and rotate it"))
	}
}

// checkEnds wants a token that has not ended, and warns of a last one that soon will.
func (b *builder) checkEnds(key string, list []Token) {
	switch {
	case len(list) == 0:
		b.Add(key, errors.New("required: one token at least; make it with: gatehouse token new"))
		return
	case len(list) > maxTokens:
		b.Add(key, fmt.Errorf("%d tokens; a machine has one, or two while they are rotated", len(list)))
	}
	last := list[0]
	for _, t := range list {
		if t.Expires.IsZero() {
			return
		}
		if t.Expires.After(last.Expires.Time) {
			last = t
		}
	}
	switch end := last.Expires; {
	case end.Ended(b.now):
		b.Add(key, fmt.Errorf("the last token%s ended at %s; put a new one beside it (gatehouse token new), or take the machine out", noted(last), end))
	case end.Ended(b.now.Add(soon)):
		b.Warn(key, fmt.Errorf("the last token%s ends at %s; put a new one beside it: gatehouse token new", noted(last), end))
	}
}

// noted is a token's note for a message.
func noted(t Token) string {
	if t.Note == "" {
		return ""
	}
	return fmt.Sprintf(" (%.100s)", t.Note)
}
