package certificate

import (
	"crypto/x509"
	"net/url"
	"strings"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/workload"
)

// Config is the section `certificates` of a directory.
type Config struct {
	// CRLFile holds lists of certificates that were taken back (RFC 5280, in PEM or DER), each by
	// a CA of listen.tls.client_ca_file. It is read again each minute. While a list is past its
	// nextUpdate no certificate of its CA counts. Default: none.
	CRLFile authn.File `yaml:"crl_file"`
	// Workloads say which machine a certificate is of: the first whose match holds. What
	// they read is uri, dns, cn, o and ou, and for names {uri.path}, without its leading slash.
	Workloads []workload.Workload `yaml:"workloads,needed"`

	// Name is the directory's name in the config.
	Name string `yaml:"-"`
	// CAs are those that clients' certificates are by, listen.tls.client_ca_file.
	CAs authn.File `yaml:"-"`
	// Now is the clock; nil: time.Now.
	Now func() time.Time `yaml:"-"`
}

// form is what a certificate shows.
var form = workload.Form{
	Claims: []string{"uri", "dns", "cn", "o", "ou"},
	Parts:  map[string]workload.Part{"uri.path": {Of: "uri", Cut: pathOf}},
	Alone:  []string{"uri"}, // SPIFFE X.509-SVID section 2: one certificate, one name
}

// pathOf is the path of a URI as it stands there, without its leading slash.
func pathOf(uri string) (string, bool) {
	u, err := url.Parse(uri)
	if err != nil || u.Opaque != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", false
	}
	path := strings.TrimPrefix(u.EscapedPath(), "/")
	return path, path != ""
}

// New checks the config. Its error joins *authn.KeyError values whose keys are relative to
// `certificates` (`workloads[0].match.uri`), warnings among them; where all of them are
// warnings the *Directory is returned as well.
func New(cfg Config) (*Directory, error) {
	var faults authn.Faults
	d := &Directory{name: cfg.Name, roots: x509.NewCertPool(), anchors: map[string]bool{}, file: cfg.CRLFile, now: cfg.Now}
	if d.now == nil {
		d.now = time.Now
	}
	d.recalled = workload.NewRecall(d.recall)
	var err error
	d.mapping, err = workload.New(cfg.Workloads, form)
	faults.Join(err)
	d.authorities, err = authn.ParseCertificates(cfg.CAs)
	if len(cfg.CAs.Data) == 0 { // told where it is missed
		err = nil
	}
	faults.Add("", err)
	for _, ca := range d.authorities {
		d.roots.AddCert(ca)
		d.anchors[idOf(ca)] = true
	}
	d.takeLists(&faults)
	if faults.Fatal() {
		return nil, faults.Err()
	}
	return d, faults.Err()
}

// takeLists reads the lists for the first time.
func (d *Directory) takeLists(faults *authn.Faults) {
	d.lists.Store(&lists{})
	if d.file.Data == nil || len(d.authorities) == 0 { // told already, or there are none
		return
	}
	read, err := parseLists(d.file.Name, d.file.Data, d.authorities)
	if err != nil {
		faults.Add("crl_file", err)
		return
	}
	d.lists.Store(&read)
	for _, problem := range read.lacks(d.authorities, d.now()) {
		faults.Warn("crl_file", problem)
	}
}
