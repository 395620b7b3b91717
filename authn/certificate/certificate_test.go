package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"gatehouse/authn"
	"gatehouse/authn/authntest"
	"gatehouse/authn/workload"
)

// fleet are the workloads of the contract's example, and one for hosts.
var fleet = []workload.Workload{
	{Match: match("uri", "spiffe://prod.example/ns/*/sa/*"), Name: "{uri.path}", Groups: []string{"pods"}, Record: []string{"uri"}},
	{Match: append(match("dns", "*.build.example"), match("o", "Example")...), Name: "host/{dns}", Groups: []string{"{ou}"}},
	{Match: match("cn", "robot-*"), Name: "{cn}"},
}

func match(claim string, patterns ...string) workload.Match {
	return workload.Match{{Claim: claim, Any: patterns}}
}

// clock is a time that tests move.
type clock struct{ now time.Time }

// open makes a directory whose CAs are these.
func open(t *testing.T, change func(*Config), cas ...*authntest.Authority) (*Directory, *clock) {
	t.Helper()
	c := &clock{time.Now()}
	cfg := Config{Name: "fleet", Workloads: fleet, CAs: file("ca.pem", pems(cas...)), Now: func() time.Time { return c.now }}
	if change != nil {
		change(&cfg)
	}
	d, err := New(cfg)
	if d == nil {
		t.Fatal(err)
	}
	return d, c
}

func pems(cas ...*authntest.Authority) (text []byte) {
	for _, ca := range cas {
		text = append(text, ca.PEM()...)
	}
	return text
}

func file(name string, data []byte) authn.File { return authn.File{Name: name, Data: data} }

// sent is what the client of a certificate sends.
func sent(c tls.Certificate, more ...*x509.Certificate) []*x509.Certificate {
	return append([]*x509.Certificate{c.Leaf}, more...)
}

// TestNames: which machine a certificate is of, or why it is of none.
func TestNames(t *testing.T) {
	ca := authntest.NewAuthority(t, "ca")
	d, _ := open(t, nil, ca)
	for name, c := range map[string]struct {
		cert tls.Certificate
		want string // DIRECTORY/NAME groups, or a part of the error
	}{
		"spiffe":             {ca.URI(t, "spiffe://prod.example/ns/web/sa/App"), "fleet/ns/web/sa/app [pods]"},
		"another domain":     {ca.URI(t, "spiffe://dev.example/ns/web/sa/app"), `workloads[0]: uri is "spiffe://dev.example/ns/web/sa/app"`},
		"a longer path":      {ca.URI(t, "spiffe://prod.example/ns/web/sa/app/x"), "no workload takes it"},
		"two that match":     {ca.URI(t, "spiffe://prod.example/ns/a/sa/b", "spiffe://prod.example/ns/c/sa/d"), "2 values of uri fit, and there may be one"},
		"one of two matches": {ca.URI(t, "spiffe://dev.example/ns/a/sa/b", "spiffe://prod.example/ns/c/sa/d"), "fleet/ns/c/sa/d [pods]"},
		"escaped":            {ca.URI(t, "spiffe://prod.example/ns/%2e%2e/sa/d"), "which is no name"},
		"dots":               {ca.URI(t, "spiffe://prod.example/ns/../sa/d"), "which is no name"},
		"a query":            {ca.URI(t, "spiffe://prod.example/ns/a/sa/b?c=d"), "uri.path is absent"},
		"no path":            {ca.URI(t, "urn:x:y"), "no workload takes it"},
		"none":               {ca.Client(t, func(*x509.Certificate) {}), "workloads[0]: uri is absent"},
		"host": {ca.Client(t, func(c *x509.Certificate) {
			c.DNSNames, c.Subject = []string{"other.example", "a.build.example"}, pkix.Name{Organization: []string{"Else", "Example"}, OrganizationalUnit: []string{"CI", "Two"}}
		}), "fleet/host/a.build.example [ci two]"},
		"two hosts": {ca.Client(t, func(c *x509.Certificate) {
			c.DNSNames, c.Subject = []string{"b.build.example", "a.build.example"}, pkix.Name{Organization: []string{"Example"}}
		}), "the claim dns has 2 values"},
		"cn": {ca.Client(t, func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "robot-7"} }), "fleet/robot-7 []"},
		"two cn": {ca.Client(t, func(c *x509.Certificate) {
			c.Subject = pkix.Name{CommonName: "robot-7", ExtraNames: []pkix.AttributeTypeAndValue{{Type: oidCommonName, Value: "robot-7"}, {Type: oidCommonName, Value: "robot-8"}}}
		}), "the claim cn has 2 values"},
		"too long": {ca.Client(t, func(c *x509.Certificate) { c.DNSNames = slices.Repeat([]string{strings.Repeat("a", 60)}, 40) }), "are 2"},
	} {
		id, err := d.Certify(sent(c.cert))
		got := fmt.Sprint(err)
		if err == nil {
			var groups []string
			for _, g := range id.Groups {
				groups = append(groups, g.Name)
			}
			got = fmt.Sprintf("%s/%s %v", id.Directory, id.Username, groups)
		} else if !errors.Is(err, authn.ErrMismatchedToken) || id.Username != "" || id.Proof.ID == "" {
			t.Errorf("%s: %v is no mismatch, or %+v", name, err, id)
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestSPIFFE: what go-spiffe takes for a workload's certificate is the machine of that name.
func TestSPIFFE(t *testing.T) {
	ca := authntest.NewAuthority(t, "ca")
	d, _ := open(t, nil, ca)
	name := spiffeid.RequireFromString("spiffe://prod.example/ns/web/sa/app")
	cert := ca.URI(t, name.String())
	bundle := x509bundle.FromX509Authorities(name.TrustDomain(), []*x509.Certificate{ca.Cert})
	if id, _, err := x509svid.Verify([]*x509.Certificate{cert.Leaf}, bundle); err != nil || id != name {
		t.Fatalf("%v, %v", id, err)
	}
	id, err := d.Certify(sent(cert))
	if err != nil || "/"+id.Username != name.Path() || !id.Machine || id.ID != "certificate:ns/web/sa/app" || !id.ValidUntil.Equal(cert.Leaf.NotAfter) {
		t.Fatalf("%+v, %v", id, err)
	}
	proof := id.Proof
	if proof.Subject != name.String() || proof.ID != fmt.Sprintf("%X", cert.Leaf.SerialNumber) || !proof.Session.IsZero() ||
		!slices.Equal(proof.Recorded, []authn.Claim{{Name: "uri", Value: name.String()}}) {
		t.Errorf("%+v", proof)
	}
}

// TestVerified: a certificate counts if it is good now and by a CA of now, whatever the
// connection's handshake said.
func TestVerified(t *testing.T) {
	ca, other := authntest.NewAuthority(t, "ca"), authntest.NewAuthority(t, "other")
	below := ca.Below(t, "below")
	d, _ := open(t, nil, ca)
	const name = "spiffe://prod.example/ns/a/sa/b"
	for what, c := range map[string]struct {
		sent []*x509.Certificate
		want error
	}{
		"good":              {sent(ca.URI(t, name)), nil},
		"by a CA between":   {sent(below.URI(t, name), below.Cert), nil},
		"that was not sent": {sent(below.URI(t, name)), authn.ErrUnknownToken},
		"of another CA":     {sent(other.URI(t, name)), authn.ErrUnknownToken},
		"none":              {nil, authn.ErrMalformedToken},
		"of a server":       {sent(ca.Client(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })), authn.ErrUnknownToken},
		"ended":             {sent(ca.Client(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })), authn.ErrExpiredToken},
		"still to come":     {sent(ca.Client(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) })), authn.ErrExpiredToken},
		"of no workload":    {sent(ca.URI(t, "spiffe://prod.example/x")), authn.ErrMismatchedToken},
	} {
		if _, err := d.Certify(c.sent); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
}

// TestPinned: a certificate that stands among the CAs itself has no other above it.
func TestPinned(t *testing.T) {
	ca := authntest.NewAuthority(t, "ca")
	cert := ca.URI(t, "spiffe://prod.example/ns/a/sa/b")
	d, _ := open(t, func(c *Config) {
		c.CAs.Data = (&authntest.Authority{Cert: cert.Leaf}).PEM()
	}, ca)
	id, err := d.Certify(sent(cert))
	if err != nil || id.PasswordStamp == "" {
		t.Fatalf("%+v, %v", id, err)
	}
	if _, err := d.Lookup(context.Background(), id.Ref()); err != nil {
		t.Error(err)
	}
}

// TestLookup: each request asks again; what a reload changes counts at once.
func TestLookup(t *testing.T) {
	ca, other := authntest.NewAuthority(t, "ca"), authntest.NewAuthority(t, "other")
	cert := ca.URI(t, "spiffe://prod.example/ns/a/sa/b")
	d, _ := open(t, nil, ca, other)
	id, err := d.Certify(sent(cert))
	if err != nil {
		t.Fatal(err)
	}
	crl := func(c *Config) { c.CRLFile = file("crl", ca.Revoked(t, time.Now().Add(time.Hour), nil, cert.Leaf)) }
	for what, c := range map[string]struct {
		change func(*Config)
		cas    []*authntest.Authority
		ref    func(*authn.Ref)
		later  time.Duration
		want   string
	}{
		"nothing":        {cas: []*authntest.Authority{ca}},
		"before its end": {cas: []*authntest.Authority{ca}, later: time.Hour - time.Second*2},
		"its end":        {cas: []*authntest.Authority{ca}, later: time.Hour, want: "its certificate ended at"},
		"its CA dropped": {cas: []*authntest.Authority{other}, want: "its CA is not in listen.tls.client_ca_file any more"},
		"a tighter match": {change: func(c *Config) {
			c.Workloads = []workload.Workload{{Match: match("uri", "spiffe://prod.example/ns/b/**"), Name: "{uri.path}"}}
		}, cas: []*authntest.Authority{ca}, want: "no workload takes it"},
		"another name":        {change: func(c *Config) { c.Workloads = []workload.Workload{{Match: match("uri", "**"), Name: "x/{uri.path}"}} }, cas: []*authntest.Authority{ca}, want: "another machine's now"},
		"a claim not carried": {change: func(c *Config) { c.Workloads = []workload.Workload{{Match: match("dns", "**"), Name: "{dns}"}} }, cas: []*authntest.Authority{ca}, want: "dns is absent"},
		"on a list":           {change: crl, cas: []*authntest.Authority{ca}, want: "is on the list of"},
		"no proof":            {cas: []*authntest.Authority{ca}, ref: func(r *authn.Ref) { r.Proof = "" }, want: "the token carries no certificate"},
		"half a proof":        {cas: []*authntest.Authority{ca}, ref: func(r *authn.Ref) { r.Proof = "{}" }, want: "the token carries no certificate"},
		"another stamp":       {cas: []*authntest.Authority{ca}, ref: func(r *authn.Ref) { r.Stamp = "x" }, want: "another machine's now"},
		"another id":          {cas: []*authntest.Authority{ca}, ref: func(r *authn.Ref) { r.ID = "x" }, want: "another machine's now"},
	} {
		d, clock := open(t, c.change, c.cas...)
		clock.now = clock.now.Add(c.later)
		ref := id.Ref()
		if c.ref != nil {
			c.ref(&ref)
		}
		got, err := d.Lookup(context.Background(), ref)
		if c.want == "" && (err != nil || got.Username != "ns/a/sa/b" || got.PasswordStamp != id.PasswordStamp || got.Proof.ID != id.Proof.ID) {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
		if c.want != "" && (!errors.Is(err, authn.ErrUnknownUser) || errors.Is(err, authn.ErrBadToken) || !strings.Contains(err.Error(), c.want) || got.Username != "") {
			t.Errorf("%s: %+v, %v, want %s", what, got, err, c.want)
		}
	}
}

// TestLacks: there are no people in it, and its groups are those of the workloads.
func TestLacks(t *testing.T) {
	ask := []authn.Named{{Kind: authn.Person, Name: "bach"}, {Kind: authn.GroupName, Name: "ghosts"}, {Kind: authn.GroupName, Name: "pods"},
		{Kind: authn.MachineName, Name: "ns/a/sa/b"}}
	closed := func(c *Config) { c.Workloads = fleet[:1] }
	for name, c := range map[string]struct {
		change func(*Config)
		want   []authn.Named
	}{"pods alone": {closed, ask[:2]}, "any ou is a group": {nil, ask[:1]}} {
		d, _ := open(t, c.change, authntest.NewAuthority(t, "ca"))
		var roll authn.Roll = d
		if got, err := roll.Lacks(t.Context(), ask); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// TestNoName: nobody is found by a name, and no password is taken.
func TestNoName(t *testing.T) {
	d, _ := open(t, nil, authntest.NewAuthority(t, "ca"))
	if _, err := d.Find(context.Background(), "ns/a/sa/b"); !errors.Is(err, authn.ErrUnknownUser) || errors.Is(err, authn.ErrHeld) {
		t.Error(err)
	}
	if _, err := d.Verify(context.Background(), authn.Identity{}, "x"); !errors.Is(err, authn.ErrInvalidCredentials) {
		t.Error(err)
	}
	chain := authn.NewChain(authn.ChainConfig{Directories: []authn.Directory{d}})
	if _, err := chain.Certified(nil); !errors.Is(err, authn.ErrMalformedToken) || !chain.TakesCertificates() {
		t.Error(err)
	}
	if none := authn.NewChain(authn.ChainConfig{}); none.TakesCertificates() {
		t.Error("a chain without the directory takes certificates")
	} else if _, err := none.Certified(nil); !errors.Is(err, authn.ErrUnknownToken) {
		t.Error(err)
	}
}
