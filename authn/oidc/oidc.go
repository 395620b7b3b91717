// Package oidc is a kind of directory: machines for which an issuer signs. A CI job or a
// pod shows the ID token that its platform gave it (OpenID Connect Core 1.0, section 2),
// and the claims in it say which machine it is (package workload).
//
// Everything about a token that can be judged without a key is judged before anything is
// fetched, and the keys are kept (keySet), so that strangers cannot make us ask the
// issuer. Each later request maps the claims again, out of the few that our own tokens
// carry, so a reload that tightens a match counts at once.
package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gatehouse/authn"
	"gatehouse/authn/workload"
)

// Directory is an authn.Directory of the machines of one issuer. It is immutable but for
// the keys that it knows.
type Directory struct {
	name        string
	issuer      string
	stamp       string // of what it issues: another issuer has another
	audiences   []string
	algorithms  []string
	signing     []jose.SignatureAlgorithm // the same
	maxLifetime time.Duration
	session     time.Duration
	mapping     *workload.Mapping
	keys        *keySet
	source      [sha256.Size]byte                // of what the keys come from
	recalled    *workload.Recall[authn.Identity] // of what tokens carry
	now         func() time.Time
}

var _ authn.Issuer = (*Directory)(nil)

// New checks the config. Its error joins *authn.KeyError values whose keys are relative
// to `oidc` (`workloads[0].match.sub`), warnings among them; where all of them are
// warnings the *Directory is returned as well. It asks nobody.
func New(cfg Config) (*Directory, error) {
	b := &builder{cfg: &cfg}
	roots := b.check()
	mapping, err := workload.New(cfg.Workloads, workload.Form{})
	b.Join(err)
	b.Join(checkOwners(cfg.Issuer, cfg.Workloads))
	d := newDirectory(&cfg, mapping)
	d.source = cfg.source()
	switch {
	case cfg.JWKSFile.Name != "":
		keys, err := parseKeys(cfg.JWKSFile.Data)
		if cfg.JWKSFile.Data != nil && err != nil { // else it was told already
			b.Add("jwks_file", fmt.Errorf("%s %w", cfg.JWKSFile.Name, err))
		}
		d.keys = &keySet{keys: keys, now: d.now}
	case cfg.Before != nil && cfg.Before.source == d.source:
		d.keys = cfg.Before.keys
	default:
		d.keys = &keySet{fetch: newFetcher(cfg.Issuer, roots).fetch, timeout: cfg.Timeout, staleFor: cfg.KeysStaleFor, now: d.now, directory: cfg.Name,
			count: func(err error) { cfg.Metrics.OIDCKeyFetch(cfg.Name, err == nil) }}
	}
	if b.Fatal() {
		return nil, b.Err()
	}
	return d, b.Err()
}

// newDirectory is one without keys.
func newDirectory(cfg *Config, mapping *workload.Mapping) *Directory {
	sum := sha256.Sum256([]byte(cfg.Issuer))
	d := &Directory{name: cfg.Name, issuer: cfg.Issuer, stamp: hex.EncodeToString(sum[:16]), audiences: cfg.Audiences,
		algorithms: cfg.Algorithms, maxLifetime: cfg.MaxLifetime, session: cfg.Session, mapping: mapping, now: cfg.Now}
	if d.now == nil {
		d.now = time.Now
	}
	if len(d.algorithms) == 0 {
		d.algorithms = defaultAlgorithms
	}
	for _, a := range d.algorithms {
		d.signing = append(d.signing, jose.SignatureAlgorithm(a))
	}
	d.recalled = workload.NewRecall(d.recall)
	return d
}

// source is a digest of all that says where keys come from and how long they count.
func (c *Config) source() [sha256.Size]byte {
	text, err := json.Marshal([]any{c.Name, c.Issuer, c.CAFile.Data, c.JWKSFile.Name, c.Timeout, c.KeysStaleFor})
	if err != nil {
		return [sha256.Size]byte{} // texts and numbers cannot fail
	}
	return sha256.Sum256(text)
}

// Name is the directory's name in the config.
func (d *Directory) Name() string { return d.name }

// Issuer is whose tokens it takes.
func (d *Directory) Issuer() string { return d.issuer }

// Audiences are who a token may be for, the first of them who it should be for.
func (d *Directory) Audiences() []string { return d.audiences }

// KeysAge is how long ago the issuer was asked for the keys that count; false: it was
// not, or they stand in a file.
func (d *Directory) KeysAge() (time.Duration, bool) { return d.keys.age() }

// Keys is how many keys may sign tokens now: the issuer is asked, unless they are fresh
// or stand in a file. The error wraps authn.ErrUnavailable.
func (d *Directory) Keys(ctx context.Context) (int, error) {
	keys, err := d.keys.current(ctx)
	return len(keys), err
}

// Prove returns the machine that an ID token is of. The error wraps authn.ErrBadToken, or
// authn.ErrUnavailable where the issuer is at fault and its keys are not known. What is
// known of the token is returned beside it, for the log.
func (d *Directory) Prove(ctx context.Context, text authn.Secret) (authn.Identity, error) {
	t, err := d.verify(ctx, string(text))
	if err != nil {
		return t.stranger(), err
	}
	claims, err := d.mapping.Pick(t.claims)
	if err != nil {
		return t.stranger(), err
	}
	id, err := d.identity(&carried{Claims: claims, Subject: brief(t.subject), Issued: t.iat.Unix(), Expires: t.exp.Unix()})
	if err != nil {
		return t.stranger(), err
	}
	proof := *id.Proof
	proof.ID = brief(t.jti)
	id.Proof = &proof
	if !d.now().Before(id.ValidUntil) { // within the leeway, and there is no session
		return id, fmt.Errorf("%w at %s", authn.ErrExpiredToken, t.exp.UTC().Format(time.RFC3339))
	}
	return id, nil
}

// stranger is what a log may show of a token that is refused.
func (t *token) stranger() authn.Identity {
	if t == nil {
		return authn.Identity{}
	}
	return authn.Identity{Proof: &authn.Proof{ID: brief(t.jti), Subject: brief(t.subject)}}
}

// verify reads a token and checks all of it, the signature last. The token is returned
// beside an error where it could be read.
func (d *Directory) verify(ctx context.Context, text string) (*token, error) {
	t, err := parse(text)
	if err != nil {
		return nil, err
	}
	if err := d.check(t); err != nil {
		return t, err
	}
	signed, err := jose.ParseSignedCompact(text, d.signing)
	if err != nil {
		return t, malformed("%w", err)
	}
	keys, err := d.keys.find(ctx, t.kid, t.alg)
	if err != nil {
		return t, err
	}
	if !signedBy(signed, keys) && (t.kid != "" || !d.renewed(ctx, signed, t)) {
		return t, fmt.Errorf("%w: the signature is not by the issuer's key %.100q", authn.ErrUnknownToken, t.kid)
	}
	return t, nil
}

func signedBy(signed *jose.JSONWebSignature, keys []key) bool {
	return slices.ContainsFunc(keys, func(k key) bool {
		_, err := signed.Verify(k.Key)
		return err == nil
	})
}

// renewed asks again for the only key of an issuer that gives keys no id, as far as it may
// be asked: nothing else tells that it is another now.
func (d *Directory) renewed(ctx context.Context, signed *jose.JSONWebSignature, t *token) bool {
	if d.keys.fetch == nil {
		return false
	}
	keys, err := d.keys.again(ctx)
	if err != nil {
		return false
	}
	found, _ := choose(keys, "", t.alg)
	return signedBy(signed, found)
}

// identity maps what is carried.
func (d *Directory) identity(c *carried) (authn.Identity, error) {
	r, err := d.mapping.Map(c.Claims)
	if err != nil {
		return authn.Identity{}, err
	}
	text, err := json.Marshal(c)
	if err != nil {
		return authn.Identity{}, malformed("%w", err)
	}
	iat := time.Unix(c.Issued, 0)
	proof := &authn.Proof{Subject: c.Subject, Recorded: r.Recorded, Carried: string(text)}
	id := authn.Identity{Directory: d.name, Username: r.Name, ID: "oidc:" + r.Name, Groups: r.Groups, PasswordStamp: d.stamp,
		ValidUntil: d.ends(time.Unix(c.Expires, 0), iat), Machine: true, Proof: proof}
	if d.session > 0 {
		proof.Session = id.ValidUntil
	}
	return id, nil
}

// Lookup maps again the claims that a token of ours carries.
func (d *Directory) Lookup(_ context.Context, ref authn.Ref) (authn.Identity, error) {
	id, err := d.recalled.Of(ref.Proof)
	switch {
	case err != nil:
		return authn.Identity{}, fmt.Errorf("%w: %v", authn.ErrUnknownUser, err) // no authn.ErrBadToken: the token shown is ours, and good
	case id.Username != ref.Username || id.ID != ref.ID || d.stamp != ref.Stamp:
		return authn.Identity{}, fmt.Errorf("%w: the claims are another machine's now", authn.ErrUnknownUser)
	case !d.now().Before(id.ValidUntil):
		return authn.Identity{}, fmt.Errorf("%w: its session ended at %s", authn.ErrUnknownUser, id.ValidUntil.UTC().Format(time.RFC3339))
	}
	return id, nil
}

// recall maps what a token of ours carries.
func (d *Directory) recall(text string) (authn.Identity, error) {
	var c carried
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&c); err != nil {
		return authn.Identity{}, errors.New("the token carries no claims")
	}
	return d.identity(&c)
}

// Describe is the machine of a name, see workload.Mapping.Describe. The issuer is not asked.
func (d *Directory) Describe(name string, claims map[string]any) (authn.Identity, error) {
	r, note, err := d.mapping.Describe(name, claims)
	if err != nil {
		return authn.Identity{}, err
	}
	return authn.Identity{Directory: d.name, Username: r.Name, ID: "oidc:" + r.Name, Groups: r.Groups, Note: note, Machine: true}, nil
}

// Find knows nobody: machines show what their issuer signed, and no name.
func (d *Directory) Find(context.Context, string) (authn.Identity, error) {
	return authn.Identity{}, fmt.Errorf("%w: its machines are known by their tokens alone", authn.ErrUnknownUser)
}

// Verify checks that an ID token is that machine's.
func (d *Directory) Verify(ctx context.Context, id authn.Identity, password authn.Secret) (authn.Identity, error) {
	got, err := d.Prove(ctx, password)
	switch {
	case errors.Is(err, authn.ErrBadToken):
		return authn.Identity{}, fmt.Errorf("%w: %w", authn.ErrInvalidCredentials, err)
	case err != nil:
		return authn.Identity{}, err
	case got.Username != id.Username || got.ID != id.ID:
		return authn.Identity{}, fmt.Errorf("%w: another machine's token", authn.ErrInvalidCredentials)
	}
	return got, nil
}
