package cli

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
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
	// Keyring knows what is revoked and, but for Keyless, our own tokens; nil where there are
	// Faults.
	Keyring *tokens.Keyring
	// Keyless is why Keyring has not the keys of a running gateway; empty: it has.
	Keyless string
	// Machines are the directories of machines.
	Machines []*machine.Directory
	// Issuers are the directories of ID tokens.
	Issuers []*oidc.Directory
	// Personal: personal tokens are on.
	Personal bool
	// Certified is the machine of a client's certificate, see authn.Chain; nil: none.
	Certified func(sent []*x509.Certificate) (authn.Identity, error)
	// Ask puts a question to the running gateway or, where none runs, to the store. The error
	// says why neither could be asked.
	Ask func(context.Context, Question) (Verdict, error)
	// Faults keep anything from being said.
	Faults []string
	// Close lets go of all of it.
	Close func()
}

// inspect judges a token as the config has it, and then as the gateway or the store has.
func (o *Opened) inspect(ctx context.Context, text authn.Secret) *Verdict {
	v := &Verdict{}
	q := o.read(ctx, v, text)
	if v.Reason != "" {
		return v
	}
	said, err := o.Ask(ctx, q)
	if err != nil {
		v.Reason, v.Down = "whether it is revoked could not be checked: "+err.Error(), true
		return v
	}
	v.Reason, v.Down, v.Note = said.Reason, said.Down, said.Note
	if len(said.Lines) > 0 {
		v.Lines = said.Lines
	}
	return v
}

// read is what the config says, and what it leaves to be asked.
func (o *Opened) read(ctx context.Context, v *Verdict, text authn.Secret) Question {
	if d := o.issuerOf(text); d != nil {
		return o.inspectIDToken(ctx, v, d, text)
	}
	switch kind := o.Keyring.KindOf(text); {
	case kind == tokens.FromMachine, kind == tokens.FromPersonal:
		return o.inspectAPIToken(v, text)
	case strings.HasPrefix(string(text), "-----BEGIN "):
		return o.inspectCertificate(v, text)
	case kind == tokens.FromPerson:
		v.Reason = "it is no token"
	case !o.Keyring.Signed(text) && oidc.Issuer(string(text)) != "":
		e := oidc.Foreign(string(text))
		v.examined(&e)
	case o.Keyless == "":
		t, err := o.Keyring.Read(string(text))
		if err == nil {
			_, err = o.Keyring.Verify(string(text), t.Kind, 0)
		}
		v.signed(t, err)
	}
	return Question{Token: string(text)}
}

// inspectAPIToken is about a token that begins with its kind.
func (o *Opened) inspectAPIToken(v *Verdict, text authn.Secret) (q Question) {
	token, err := apitoken.Parse(text)
	if err != nil {
		v.Reason = err.Error()
		return q
	}
	v.say("kind", string(o.Keyring.KindOf(text)))
	v.say("id", token.ID)
	if token.Kind == apitoken.Personal {
		if !o.Personal {
			v.Reason = "personal tokens are off"
		}
		o.standing(v, authn.Identity{}, tokens.Credential{Kind: tokens.FromPersonal, ID: token.ID})
		return Question{Token: string(text)}
	}
	v.say("hash", token.Hash.String())
	v.Reason = "no machine of the config has its hash"
	for _, d := range o.Machines {
		if held, ok := d.Held(token.Hash); ok {
			v.Reason = ""
			describe(v, held)
			return o.standing(v, held.Identity, tokens.Credential{Kind: tokens.FromMachine, ID: token.ID})
		}
	}
	return q
}

// standing holds a credential that the config takes against what it has revoked. The
// question is whether it is revoked elsewhere.
func (o *Opened) standing(v *Verdict, of authn.Identity, shown tokens.Credential) Question {
	q := Question{Kind: string(shown.Kind), ID: shown.ID, Directory: of.Directory, User: of.Username}
	if v.Reason == "" && o.Keyring.Standing(of, shown) != nil {
		v.Reason = "it is on tokens.revoked"
	}
	return q
}

// inspectCertificate is about a client's certificate, which those that signed it may follow.
func (o *Opened) inspectCertificate(v *Verdict, text authn.Secret) (q Question) {
	sent, err := authn.ParseCertificates(authn.File{Name: "what was given", Data: []byte(text)})
	if err != nil || o.Certified == nil {
		v.Reason = "it is no token, and no certificate"
		return q
	}
	id, err := o.Certified(sent)
	v.say("kind", "certificate")
	if id.Proof != nil {
		v.say("id", id.Proof.ID)
		v.say("subject", id.Proof.Subject)
	}
	v.say("ends", sent[0].NotAfter.UTC().Format(time.RFC3339))
	if err != nil {
		v.Reason, v.Down = err.Error(), errors.Is(err, authn.ErrUnavailable)
		return q
	}
	v.say("machine", id.Directory+"/"+id.Username)
	v.say("groups", groupNames(id))
	return o.standing(v, id, tokens.Credential{Kind: tokens.FromCertificate, ID: id.Proof.ID})
}

// describe is about a machine's token that the config knows.
func describe(v *Verdict, held machine.Held) {
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
	if held.Ended {
		v.Reason = "it has ended"
	}
}

func groupNames(id authn.Identity) string {
	var names []string
	for _, g := range id.Groups {
		names = append(names, g.Name)
	}
	return strings.Join(names, ", ")
}
