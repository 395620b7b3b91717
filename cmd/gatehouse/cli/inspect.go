package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/apitoken"
	"gatehouse/authn/machine"
	"gatehouse/authn/oidc"
	"gatehouse/tokens"
)

// Opened is a config as token inspect needs it.
type Opened struct {
	// Keyring knows our own tokens and what is revoked; nil: its files could not be read.
	Keyring *tokens.Keyring
	// Machines are the directories of machines.
	Machines []*machine.Directory
	// Issuers are the directories of ID tokens.
	Issuers []*oidc.Directory
	// Faults keep anything from being said.
	Faults []string
}

// verdict is what is said of a token.
type verdict struct {
	reason string // why it is not good; empty: it is
	down   bool   // an issuer is at fault, so nothing is known
	lines  []string
}

func (v *verdict) say(key, value string) {
	if value != "" {
		v.lines = append(v.lines, key+": "+value)
	}
}

func (v *verdict) print(w io.Writer) {
	first := "good"
	if v.reason != "" {
		first = "not good: " + v.reason
	}
	fmt.Fprintln(w, strings.Join(append([]string{first}, v.lines...), "\n"))
}

// inspect judges a token without asking anybody but the config, and its issuer for keys.
func (o *Opened) inspect(ctx context.Context, text authn.Secret) *verdict {
	v := &verdict{}
	if d := o.issuerOf(text); d != nil {
		inspectIDToken(ctx, v, d, text)
		return v
	}
	switch {
	case apitoken.Machine.Looks(text), apitoken.Personal.Looks(text):
		o.inspectAPIToken(v, text)
	case o.Keyring == nil:
		v.reason = "it is no token of a machine, and the keys that know others (tokens.key_files) cannot be read"
	case o.Keyring.KindOf(text) == tokens.FromPerson:
		v.reason = "it is no token"
	default:
		o.inspectSigned(v, text)
	}
	return v
}

// inspectAPIToken is about a token that begins with its kind.
func (o *Opened) inspectAPIToken(v *verdict, text authn.Secret) {
	token, err := apitoken.Parse(text)
	if err != nil {
		v.reason = err.Error()
		return
	}
	if token.Kind == apitoken.Personal {
		v.say("kind", "personal")
		v.say("id", token.ID)
		v.reason = "personal tokens are off"
		return
	}
	v.say("kind", "machine")
	v.say("id", token.ID)
	v.say("hash", token.Hash.String())
	v.reason = "no machine of the config has its hash"
	for _, d := range o.Machines {
		if held, ok := d.Held(token.Hash); ok {
			v.reason = ""
			o.describe(v, token, held)
			return
		}
	}
}

// describe is about a machine's token that the config knows.
func (o *Opened) describe(v *verdict, token apitoken.Token, held machine.Held) {
	id := held.Identity
	v.say("machine", id.Directory+"/"+id.Username)
	v.say("groups", groupNames(id))
	var networks []string
	for _, n := range held.Networks {
		networks = append(networks, n.String())
	}
	v.say("networks", strings.Join(networks, ", "))
	v.say("ends", held.Ends.String())
	if held.Note != "" {
		v.say("note", fmt.Sprintf("%q", held.Note))
	}
	switch {
	case held.Ended:
		v.reason = "it has ended"
	case o.Keyring != nil && o.Keyring.AdmitToken(id, token.ID) != nil:
		v.reason = "it is on tokens.revoked"
	}
}

func groupNames(id authn.Identity) string {
	var names []string
	for _, g := range id.Groups {
		names = append(names, g.Name)
	}
	return strings.Join(names, ", ")
}

// inspectSigned is about a token of ours. Whether its person is still there is for their
// directory to say, which is not asked.
func (o *Opened) inspectSigned(v *verdict, text authn.Secret) {
	kind := tokens.Access
	t, err := o.Keyring.Verify(string(text), kind, 0)
	if err != nil {
		if refresh, other := o.Keyring.Verify(string(text), tokens.Refresh, 0); other == nil || refresh.ID != "" {
			kind, t, err = tokens.Refresh, refresh, other
		}
	}
	if t.ID != "" {
		v.say("kind", string(kind))
		v.say("id", t.ID)
		v.say("user", strings.Trim(t.Subject.Directory+"/"+t.Subject.Username, "/"))
		v.say("credential", strings.TrimSpace(string(t.Credential.Kind)+" "+t.Credential.ID))
		v.say("scope", t.Scope.String())
		if !t.Expires.IsZero() {
			v.say("ends", t.Expires.UTC().Format(time.RFC3339))
		}
	}
	if err != nil {
		v.reason = err.Error()
	}
}
