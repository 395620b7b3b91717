package certificate

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/authntest"
	"gatehouse/authn/workload"
)

const member = "spiffe://prod.example/ns/a/sa/b"

// TestRevoked: a list takes certificates of its CA alone, at any place of the way up; one
// that is too old lets nobody of its CA in, and says so as a fault.
func TestRevoked(t *testing.T) {
	ca, other := authntest.NewAuthority(t, "ca"), authntest.NewAuthority(t, "other")
	below := ca.Below(t, "below")
	cert, brother, deep := ca.URI(t, member), ca.URI(t, member), below.URI(t, member)
	namesake := other.Client(t, func(c *x509.Certificate) { c.URIs, c.SerialNumber = cert.Leaf.URIs, cert.Leaf.SerialNumber })
	soon, passed := time.Now().Add(time.Hour), time.Now().Add(-time.Second)
	for name, c := range map[string]struct {
		crl  []byte
		sent []*x509.Certificate
		want error
	}{
		"nobody is on it":      {ca.Revoked(t, soon, nil), sent(cert), nil},
		"it is":                {ca.Revoked(t, soon, nil, brother.Leaf, cert.Leaf), sent(cert), authn.ErrRevokedToken},
		"a brother is":         {ca.Revoked(t, soon, nil, brother.Leaf), sent(cert), nil},
		"its number elsewhere": {ca.Revoked(t, soon, nil, cert.Leaf), sent(namesake), nil},
		"its CA is":            {ca.Revoked(t, soon, nil, below.Cert), sent(deep, below.Cert), authn.ErrRevokedToken},
		"too old":              {ca.Revoked(t, passed, nil), sent(cert), authn.ErrUnavailable},
		"too old, and it is":   {ca.Revoked(t, passed, nil, cert.Leaf), sent(cert), authn.ErrRevokedToken},
		"too old, of others":   {other.Revoked(t, passed, nil), sent(cert), nil},
		"two, the later":       {append(ca.Revoked(t, passed, func(l *x509.RevocationList) { l.ThisUpdate = time.Now().Add(-2 * time.Hour) }, cert.Leaf), ca.Revoked(t, soon, nil)...), sent(cert), nil},
		"two, another order":   {append(ca.Revoked(t, soon, nil, cert.Leaf), ca.Revoked(t, soon, func(l *x509.RevocationList) { l.ThisUpdate = time.Now().Add(-2 * time.Hour) })...), sent(cert), authn.ErrRevokedToken},
		"two CAs":              {append(other.Revoked(t, soon, nil), ca.Revoked(t, soon, nil, cert.Leaf)...), sent(cert), authn.ErrRevokedToken},
		"on hold":              {ca.Revoked(t, soon, func(l *x509.RevocationList) { l.RevokedCertificateEntries[0].ReasonCode = 6 }, cert.Leaf), sent(cert), authn.ErrRevokedToken},
	} {
		d, _ := open(t, func(cfg *Config) { cfg.CRLFile = file("crl.pem", c.crl) }, ca, other)
		if _, err := d.Certify(c.sent); !errors.Is(err, c.want) || errors.Is(err, authn.ErrBadToken) && errors.Is(err, authn.ErrUnavailable) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// TestListConfig: a file that would take back less than its author thinks is a fault, and
// one that takes back more a warning.
func TestListConfig(t *testing.T) {
	ca, other := authntest.NewAuthority(t, "ca"), authntest.NewAuthority(t, "other")
	impostor := authntest.NewAuthority(t, "ca") // another key
	soon := time.Now().Add(time.Hour)
	good := ca.Revoked(t, soon, nil)
	block, _ := pem.Decode(good)
	critical := []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}}
	for name, c := range map[string]struct {
		data    []byte
		want    string
		warning bool
	}{
		"PEM":             {good, "", false},
		"DER":             {block.Bytes, "", false},
		"with text":       {append([]byte("Certificate Revocation List\n"), good...), "", false},
		"empty":           {[]byte{}, "crl_file: crl.pem is no list of revoked certificates", false},
		"junk":            {[]byte("junk"), "crl_file: crl.pem is no list of revoked certificates", false},
		"a certificate":   {ca.PEM(), "crl_file: crl.pem is no list of revoked certificates", false},
		"cut":             {block.Bytes[:100], "crl_file: crl.pem is no list of revoked certificates", false},
		"one of two":      {append(good, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: []byte("x")})...), "crl_file: list 2 of crl.pem is no list", false},
		"of another CA":   {other.Revoked(t, soon, nil), `crl_file: crl.pem is of "CN=other", and by no CA of listen.tls.client_ca_file`, false},
		"of its namesake": {impostor.Revoked(t, soon, nil), `crl_file: crl.pem is of "CN=ca", and by no CA`, false},
		"a delta":         {ca.Revoked(t, soon, func(l *x509.RevocationList) { l.ExtraExtensions = critical }), "crl_file: crl.pem has a critical extension (2.5.29.27)", false},
		"an indirect entry": {ca.Revoked(t, soon, func(l *x509.RevocationList) {
			l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: ca.Cert.SerialNumber, RevocationTime: time.Now(), ExtraExtensions: critical}}
		}), "crl_file: crl.pem has an entry with a critical extension", false},
		"too old": {ca.Revoked(t, time.Now().Add(-time.Minute), nil), `crl_file: the list of "CN=ca" should have been replaced at`, true},
	} {
		d, err := New(Config{Name: "fleet", Workloads: fleet, CAs: file("ca.pem", ca.PEM()), CRLFile: file("crl.pem", c.data)})
		if (d != nil) != (c.want == "" || c.warning) || (err == nil) != (c.want == "") || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: %v, %v, want %s", name, d != nil, err, c.want)
		}
	}
	d, err := New(Config{Name: "fleet", Workloads: fleet, CAs: file("ca.pem", pems(ca, other)), CRLFile: file("crl.pem", good)})
	if d == nil || !strings.Contains(fmt.Sprint(err), `crl_file: has no list of "CN=other"`) {
		t.Errorf("a CA without a list: %v", err)
	}
}

// TestReload: a new list counts without a reload of the config; one that cannot be used
// does not replace what can, and the old one's end still counts.
func TestReload(t *testing.T) {
	ca := authntest.NewAuthority(t, "ca")
	cert := ca.URI(t, member)
	now, fail := ca.Revoked(t, time.Now().Add(time.Hour), nil), error(nil)
	d, clock := open(t, func(c *Config) {
		c.CRLFile = file("crl.pem", now)
		c.CRLFile.Reread = func() ([]byte, error) { return now, fail }
	}, ca)
	id, err := d.Certify(sent(cert))
	if err != nil {
		t.Fatal(err)
	}
	both := func(what string, login, token error) {
		t.Helper()
		_, err := d.Certify(sent(cert))
		_, lookup := d.Lookup(t.Context(), id.Ref())
		if !errors.Is(err, login) || !errors.Is(lookup, token) {
			t.Errorf("%s: %v, %v", what, err, lookup)
		}
	}
	fail = errors.New("gone")
	if err := d.Reload(); err == nil {
		t.Error("a file that cannot be read is no fault")
	}
	now, fail = []byte("junk"), nil
	if err := d.Reload(); err == nil {
		t.Error("junk is no fault")
	}
	both("a bad file", nil, nil)
	now = ca.Revoked(t, time.Now().Add(time.Hour), nil, cert.Leaf)
	if err := d.Reload(); err != nil {
		t.Error(err)
	}
	both("a new list", authn.ErrRevokedToken, authn.ErrUnknownUser)
	now = ca.Revoked(t, time.Now().Add(30*time.Minute), nil)
	if err := d.Reload(); err != nil {
		t.Error(err)
	}
	both("off the list", nil, nil)
	clock.now = clock.now.Add(31 * time.Minute)
	both("too old", authn.ErrUnavailable, authn.ErrUnavailable)
	if d, _ := open(t, nil, ca); d.Reload() != nil {
		t.Error("no file is a fault")
	}
}

// TestConfig: a workload can read what certificates have, and nothing else.
func TestConfig(t *testing.T) {
	ca := authntest.NewAuthority(t, "ca")
	for name, c := range map[string]struct {
		w    []workload.Workload
		cas  []byte
		want string
	}{
		"good":              {fleet, ca.PEM(), ""},
		"no workloads":      {nil, ca.PEM(), "workloads: required"},
		"an unknown claim":  {[]workload.Workload{{Match: match("email", "x"), Name: "{cn}"}}, ca.PEM(), `workloads[0].match.email: there is no "email"; there are: uri, dns, cn, o, ou`},
		"a pointer":         {[]workload.Workload{{Match: match("/cn", "x"), Name: "{cn}"}}, ca.PEM(), `workloads[0].match./cn: there is no "/cn"`},
		"a part":            {[]workload.Workload{{Match: match("uri.path", "x"), Name: "{cn}"}}, ca.PEM(), "workloads[0].match.uri.path: is part of a claim; match uri"},
		"an unknown part":   {[]workload.Workload{{Match: match("uri", "x"), Name: "{uri.host}"}}, ca.PEM(), `workloads[0].name: there is no "uri.host"`},
		"an unknown record": {[]workload.Workload{{Match: match("uri", "x"), Name: "{cn}", Record: []string{"sub"}}}, ca.PEM(), `workloads[0].record[0]: there is no "sub"`},
		"no CA":             {fleet, []byte("junk"), "ca.pem holds no PEM certificate"},
		"told elsewhere":    {fleet, nil, ""},
	} {
		d, err := New(Config{Name: "fleet", Workloads: c.w, CAs: file("ca.pem", c.cas)})
		if (d != nil) != (c.want == "") || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// TestSerial: a number is written as openssl writes it.
func TestSerial(t *testing.T) {
	for n, want := range map[int64]string{0: "00", 1: "01", 255: "FF", 4096: "1000", 74565: "012345"} {
		if got := serialOf(big.NewInt(n)); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
