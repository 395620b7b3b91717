package cli

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/url"
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
	// Personal asks the running gateway for a personal token by its `id` and `hash`; nil: they
	// are off. The error is of a gateway or a store that does not answer.
	Personal func(ctx context.Context, token url.Values) (Personal, error)
	// Certified is the machine of a client's certificate, see authn.Chain; nil: none.
	Certified func(sent []*x509.Certificate) (authn.Identity, error)
	// Faults keep anything from being said.
	Faults []string
}

// Personal is what the store says of a personal token.
type Personal struct {
	// User is its owner, DIRECTORY/NAME; empty: it is nobody's.
	User string `json:"user"`
	// Created and Expires are its times; a nil Expires is never.
	Created time.Time  `json:"created"`
	Expires *time.Time `json:"expires"`
	// Repositories and Actions are its ceiling; no repositories: all.
	Repositories []string `json:"repositories"`
	Actions      []string `json:"actions"`
	// Reason is why it is not good; empty: it is.
	Reason string `json:"reason"`
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
		o.inspectAPIToken(ctx, v, text)
	case strings.HasPrefix(string(text), "-----BEGIN "):
		o.inspectCertificate(v, text)
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
func (o *Opened) inspectAPIToken(ctx context.Context, v *verdict, text authn.Secret) {
	token, err := apitoken.Parse(text)
	if err != nil {
		v.reason = err.Error()
		return
	}
	if token.Kind == apitoken.Personal {
		o.inspectPersonal(ctx, v, token)
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

// inspectPersonal is about a person's token, which the gateway's store knows.
func (o *Opened) inspectPersonal(ctx context.Context, v *verdict, token apitoken.Token) {
	v.say("kind", "personal")
	v.say("id", token.ID)
	if o.Personal == nil {
		v.reason = "personal tokens are off"
		return
	}
	p, err := o.Personal(ctx, url.Values{"id": {token.ID}, "hash": {token.Hash.String()}})
	if err != nil {
		v.reason, v.down = "the store says nothing of it: "+err.Error(), true
		return
	}
	v.reason = p.Reason
	v.say("user", p.User)
	if p.User == "" {
		return
	}
	v.say("created", p.Created.UTC().Format(time.RFC3339))
	v.say("repositories", strings.Join(p.Repositories, ", "))
	v.say("actions", strings.Join(p.Actions, ", "))
	ends := "never"
	if p.Expires != nil {
		ends = p.Expires.UTC().Format(time.RFC3339)
	}
	v.say("ends", ends)
}

// inspectCertificate is about a client's certificate, which those that signed it may follow.
func (o *Opened) inspectCertificate(v *verdict, text authn.Secret) {
	sent, err := authn.ParseCertificates(authn.File{Name: "what was given", Data: []byte(text)})
	if err != nil || o.Certified == nil {
		v.reason = "it is no token, and no certificate"
		return
	}
	id, err := o.Certified(sent)
	v.say("kind", "certificate")
	if id.Proof != nil {
		v.say("id", id.Proof.ID)
		v.say("subject", id.Proof.Subject)
	}
	v.say("ends", sent[0].NotAfter.UTC().Format(time.RFC3339))
	if err != nil {
		v.reason, v.down = err.Error(), errors.Is(err, authn.ErrUnavailable)
		return
	}
	v.say("machine", id.Directory+"/"+id.Username)
	v.say("groups", groupNames(id))
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
