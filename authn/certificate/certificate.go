// Package certificate is a kind of directory: machines that show a client's certificate
// when they connect (RFC 8446 section 4.4.2), such as those with a SPIFFE name. The names
// in it say which machine it is (package workload).
//
// The listener has verified a certificate when the connection began. Here it is verified
// again at each login, since a connection or a resumed session may be older than a reload.
// Tokens carry what is needed to judge it once more at each request: the names, who signed
// it, and until when it lasts. So a new list of revoked certificates, a CA that was
// dropped, or a match that was tightened counts at once.
package certificate

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/workload"
)

// Directory is an authn.Directory of machines with certificates. It is immutable but for
// the lists of revoked ones.
type Directory struct {
	name        string
	authorities []*x509.Certificate
	roots       *x509.CertPool  // the same
	anchors     map[string]bool // the same, by their ids
	mapping     *workload.Mapping
	file        authn.File
	lists       atomic.Pointer[lists]
	recalled    *workload.Recall[machine] // of what tokens carry
	now         func() time.Time
}

var _ authn.Certificates = (*Directory)(nil)

// machine is what a certificate came out as.
type machine struct {
	id    authn.Identity
	links []link
}

// carried is what our tokens carry of a certificate.
type carried struct {
	Claims  workload.Claims `json:"claims"`
	Subject string          `json:"sub,omitempty"`
	Serial  string          `json:"ser"`
	Expires int64           `json:"exp"` // in seconds since 1970
	Links   []link          `json:"by"`
	Anchors []string        `json:"ca"` // the ids of CAs of which one has to go on
}

// mostCarried is how long that may be, as JSON: chains have a few links.
const mostCarried = 6 << 10

// Name is the directory's name in the config.
func (d *Directory) Name() string { return d.name }

// Certify returns the machine that a certificate is of: it is good now, nobody on the way
// to a CA was taken back, and a workload takes it. What is known of it is returned beside
// an error, for the log.
func (d *Directory) Certify(sent []*x509.Certificate) (authn.Identity, error) {
	if len(sent) == 0 {
		return authn.Identity{}, fmt.Errorf("%w: no certificate", authn.ErrMalformedToken)
	}
	c := &carried{Subject: subjectOf(sent[0]), Serial: serialOf(sent[0].SerialNumber)}
	stranger := authn.Identity{Proof: &authn.Proof{ID: c.Serial, Subject: c.Subject}}
	if err := d.verify(sent, c); err != nil {
		return stranger, err
	}
	if err := d.lists.Load().check(c.Links, d.now()); err != nil {
		return stranger, err
	}
	var err error
	if c.Claims, err = d.mapping.Pick(names(sent[0])); err != nil {
		return stranger, err
	}
	id, err := d.identity(c)
	if err != nil {
		return stranger, err
	}
	return id, nil
}

// verify checks the certificate against the CAs of this moment (RFC 5280 section 6), and
// notes who has signed what.
func (d *Directory) verify(sent []*x509.Certificate, c *carried) error {
	between := x509.NewCertPool()
	for _, cert := range sent[1:] {
		between.AddCert(cert)
	}
	chains, err := sent[0].Verify(x509.VerifyOptions{Roots: d.roots, Intermediates: between, CurrentTime: d.now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if invalid := new(x509.CertificateInvalidError); errors.As(err, invalid) && invalid.Reason == x509.Expired {
		return fmt.Errorf("%w: %w", authn.ErrExpiredToken, err)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", authn.ErrUnknownToken, err)
	}
	ends := sent[0].NotAfter
	for _, cert := range chains[0] {
		if cert.NotAfter.Before(ends) {
			ends = cert.NotAfter
		}
	}
	c.Expires = ends.Unix()
	for _, chain := range chains {
		c.follow(chain)
	}
	return nil
}

// follow notes a chain: the certificate first, a CA of ours last. Both may be the same.
func (c *carried) follow(chain []*x509.Certificate) {
	last := len(chain) - 1
	for i, cert := range chain[:max(last, 1)] {
		if k := (link{idOf(chain[min(i+1, last)]), serialOf(cert.SerialNumber)}); !slices.Contains(c.Links, k) {
			c.Links = append(c.Links, k)
		}
	}
	if id := idOf(chain[last]); !slices.Contains(c.Anchors, id) {
		c.Anchors = append(c.Anchors, id)
	}
}

// identity maps what is carried.
func (d *Directory) identity(c *carried) (authn.Identity, error) {
	r, err := d.mapping.Map(c.Claims)
	if err != nil {
		return authn.Identity{}, err
	}
	if !slices.ContainsFunc(c.Anchors, func(id string) bool { return d.anchors[id] }) {
		return authn.Identity{}, fmt.Errorf("%w: its CA is not in listen.tls.client_ca_file any more", authn.ErrUnknownToken)
	}
	text, err := json.Marshal(c)
	if err != nil || len(text) > mostCarried {
		return authn.Identity{}, fmt.Errorf("%w: what a token would carry of it is %d bytes, over %d", authn.ErrMismatchedToken, len(text), mostCarried)
	}
	return authn.Identity{Directory: d.name, Username: r.Name, ID: "certificate:" + r.Name, Groups: r.Groups, PasswordStamp: c.Links[0].stamp(),
		ValidUntil: time.Unix(c.Expires, 0), Machine: true,
		Proof: &authn.Proof{ID: c.Serial, Subject: c.Subject, Recorded: r.Recorded, Carried: string(text)}}, nil
}

// stamp is that of what is issued for a certificate: another one has another.
func (k link) stamp() string { return k.Issuer + "." + k.Serial }

// Lookup judges again the certificate of which a token of ours carries the names.
func (d *Directory) Lookup(_ context.Context, ref authn.Ref) (authn.Identity, error) {
	m, err := d.recalled.Of(ref.Proof)
	if err == nil {
		err = d.lists.Load().check(m.links, d.now())
	}
	switch {
	case errors.Is(err, authn.ErrUnavailable):
		return authn.Identity{}, err
	case err != nil:
		return authn.Identity{}, fmt.Errorf("%w: %v", authn.ErrUnknownUser, err) // no authn.ErrBadToken: the token shown is ours, and good
	case m.id.Username != ref.Username || m.id.ID != ref.ID || m.id.PasswordStamp != ref.Stamp:
		return authn.Identity{}, fmt.Errorf("%w: the certificate is another machine's now", authn.ErrUnknownUser)
	case !d.now().Before(m.id.ValidUntil):
		return authn.Identity{}, fmt.Errorf("%w: its certificate ended at %s", authn.ErrUnknownUser, m.id.ValidUntil.UTC().Format(time.RFC3339))
	}
	return m.id, nil
}

// recall maps what a token of ours carries.
func (d *Directory) recall(text string) (machine, error) {
	var c carried
	if err := json.Unmarshal([]byte(text), &c); err != nil || len(c.Links) == 0 {
		return machine{}, errors.New("the token carries no certificate")
	}
	id, err := d.identity(&c)
	return machine{id, c.Links}, err
}

// Describe is the machine of a name, see workload.Mapping.Describe.
func (d *Directory) Describe(name string, claims map[string]any) (authn.Identity, error) {
	r, note, err := d.mapping.Describe(name, claims)
	if err != nil {
		return authn.Identity{}, err
	}
	return authn.Identity{Directory: d.name, Username: r.Name, ID: "certificate:" + r.Name, Groups: r.Groups, Note: note, Machine: true}, nil
}

// Find knows nobody: machines show their certificate, and no name.
func (d *Directory) Find(context.Context, string) (authn.Identity, error) {
	return authn.Identity{}, fmt.Errorf("%w: its machines are known by their certificates alone", authn.ErrUnknownUser)
}

// Verify takes no password: there is none.
func (d *Directory) Verify(context.Context, authn.Identity, authn.Secret) (authn.Identity, error) {
	return authn.Identity{}, fmt.Errorf("%w: its machines have no passwords", authn.ErrInvalidCredentials)
}

// oidCommonName is the attribute cn (RFC 4519 section 2.3).
var oidCommonName = asn1.ObjectIdentifier{2, 5, 4, 3}

// names are what a workload can match, as claims.
func names(cert *x509.Certificate) map[string]any {
	var uris []string
	for _, u := range cert.URIs {
		uris = append(uris, u.String())
	}
	all := map[string]any{}
	for claim, list := range map[string][]string{"uri": uris, "dns": cert.DNSNames, "cn": commonNames(cert.Subject),
		"o": cert.Subject.Organization, "ou": cert.Subject.OrganizationalUnit} {
		values := make([]any, len(list))
		for i, text := range list {
			values[i] = text
		}
		switch len(values) {
		case 0:
		case 1:
			all[claim] = values[0]
		default:
			all[claim] = values
		}
	}
	return all
}

// commonNames are all of them; pkix.Name has the last.
func commonNames(n pkix.Name) (list []string) {
	for _, a := range n.Names {
		if text, ok := a.Value.(string); ok && a.Type.Equal(oidCommonName) {
			list = append(list, text)
		}
	}
	return list
}

// subjectOf is who a certificate was issued to: its SPIFFE name, else its subject, else
// the first of its other names.
func subjectOf(cert *x509.Certificate) string {
	text := cert.Subject.String()
	if len(cert.URIs) == 1 && (cert.URIs[0].Scheme == "spiffe" || text == "") {
		text = cert.URIs[0].String()
	}
	if text == "" && len(cert.DNSNames) > 0 {
		text = cert.DNSNames[0]
	}
	return strings.ToValidUTF8(text[:min(len(text), mostSubject)], "")
}

// mostSubject is how much of that log and audit show, in bytes.
const mostSubject = 256
