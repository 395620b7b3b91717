package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/apitoken"
	"gatehouse/tokens"
)

// Question is what a config alone does not tell of a token: what the store has of it, and
// whether it is revoked.
type Question struct {
	// Token is a whole personal token, or one that we signed; empty: the rest is given.
	Token string `json:"token,omitempty"`
	// Kind and ID are of another credential, a tokens.Credential.
	Kind string `json:"kind,omitempty"`
	ID   string `json:"id,omitempty"`
	// Directory and User are whose it is, as the config has it.
	Directory string `json:"directory,omitempty"`
	User      string `json:"user,omitempty"`
}

// Verdict is what is said of a token.
type Verdict struct {
	// Reason is why it is not good; empty: it is.
	Reason string `json:"reason"`
	// Down: an issuer, the store or a directory is at fault, so nothing is known.
	Down bool `json:"down"`
	// Note is what could not be seen to, and changes nothing; empty: all was.
	Note string `json:"note,omitempty"`
	// Lines are what is known of it, each `key: value`; none: nothing but the reason.
	Lines []string `json:"lines"`
}

func (v *Verdict) say(key, value string) {
	if value != "" {
		v.Lines = append(v.Lines, key+": "+value)
	}
}

func (v *Verdict) print(w io.Writer) {
	first := "good"
	if v.Reason != "" {
		first = "not good: " + v.Reason
	}
	fmt.Fprintln(w, strings.Join(append([]string{first}, v.Lines...), "\n"))
}

// take takes in why it is refused. What is no refusal says that nothing is known.
func (v *Verdict) take(err error) {
	if err != nil {
		v.Reason = err.Error()
		v.Down = !errors.Is(err, authn.ErrBadToken) && !errors.Is(err, tokens.ErrInvalidToken)
	}
}

// Answer answers by a keyring that knows what is revoked and what the store has, and by the
// directories of whoever has been given a token.
func (q Question) Answer(ctx context.Context, k *tokens.Keyring, chain *authn.Chain) Verdict {
	v := Verdict{}
	text := authn.Secret(q.Token)
	switch kind := k.KindOf(text); {
	case q.Token == "":
		v.take(k.Standing(authn.Identity{Directory: q.Directory, Username: q.User}, tokens.Credential{Kind: tokens.CredentialKind(q.Kind), ID: q.ID}))
	case kind == tokens.FromPersonal:
		v.personal(ctx, k, chain, text)
	default:
		v.signed(k.Examine(ctx, chain, q.Token))
	}
	return v
}

// personal is about a person's token, of which the store knows.
func (v *Verdict) personal(ctx context.Context, k *tokens.Keyring, chain *authn.Chain, text authn.Secret) {
	shown, err := apitoken.Parse(text)
	if err != nil {
		v.Reason = err.Error()
		return
	}
	held, _, err := k.ExaminePersonal(ctx, chain, shown)
	v.take(err)
	v.say("kind", string(tokens.FromPersonal))
	v.say("id", shown.ID)
	if held.ID == "" {
		return
	}
	v.say("user", held.Owner.Directory+"/"+held.Owner.Username)
	v.say("created", held.Made.UTC().Format(time.RFC3339))
	v.say("repositories", strings.Join(held.Ceiling.Repositories(), ", "))
	v.say("actions", strings.Join(held.Ceiling.Actions(), ", "))
	ends := "never"
	if !held.Ends.IsZero() {
		ends = held.Ends.UTC().Format(time.RFC3339)
	}
	v.say("ends", ends)
}

// signed is about a token of ours.
func (v *Verdict) signed(t tokens.Token, err error) {
	v.take(err)
	if t.ID == "" {
		return
	}
	v.say("kind", string(t.Kind))
	v.say("id", t.ID)
	v.say("user", strings.Trim(t.Subject.Directory+"/"+t.Subject.Username, "/"))
	v.say("credential", strings.TrimSpace(string(t.Credential.Kind)+" "+t.Credential.ID))
	v.say("scope", t.Scope.String())
	v.say("ends", t.Expires.UTC().Format(time.RFC3339))
}
