package certificate

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"time"

	"gatehouse/authn"
)

// lists are those of revoked certificates that count, by the id of their CA.
type lists map[string]*list

// list is one CA's (RFC 5280 section 5).
type list struct {
	revoked    map[string]bool // by serial number
	made, next time.Time       // thisUpdate and nextUpdate; zero next: it says none
	authority  string          // the CA's name, for messages
}

// link is that one certificate was signed by a CA.
type link struct {
	Issuer string `json:"i"` // the CA's id
	Serial string `json:"n"` // the certificate's
}

// idOf is what a CA is known by: its name and key, which outlast a renewal.
func idOf(ca *x509.Certificate) string {
	sum := sha256.Sum256(append(bytes.Clone(ca.RawSubject), ca.RawSubjectPublicKeyInfo...))
	return hex.EncodeToString(sum[:8])
}

// serialOf is a serial number as openssl prints it.
func serialOf(n *big.Int) string {
	text := fmt.Sprintf("%X", n)
	return strings.Repeat("0", len(text)%2) + text
}

// parseLists reads a file of lists, each of which must be by one of the CAs. Of several by
// the same CA the latest counts.
func parseLists(name string, data []byte, authorities []*x509.Certificate) (lists, error) {
	all := lists{}
	texts := split(data)
	for i, der := range texts {
		where := name
		if len(texts) > 1 {
			where = fmt.Sprintf("list %d of %s", i+1, name)
		}
		crl, err := x509.ParseRevocationList(der)
		if err != nil {
			return nil, fmt.Errorf("%s is no list of revoked certificates: %w", where, err)
		}
		if err := complete(crl); err != nil {
			return nil, fmt.Errorf("%s %w", where, err)
		}
		if !all.take(crl, authorities) {
			return nil, fmt.Errorf("%s is of %q, and by no CA of listen.tls.client_ca_file", where, crl.Issuer.String())
		}
	}
	return all, nil
}

// split gives the lists of a file in DER.
func split(data []byte) (texts [][]byte) {
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "X509 CRL" {
			texts = append(texts, block.Bytes)
		}
	}
	if texts == nil {
		return [][]byte{data}
	}
	return texts
}

// complete refuses what is only a part of a CA's list, by what must be understood of it:
// who is on another part would pass for good.
func complete(crl *x509.RevocationList) error {
	for _, e := range crl.Extensions {
		if e.Critical {
			return fmt.Errorf("has a critical extension (%s): a delta, or a list of some of its CA's certificates, does not say who is good", e.Id)
		}
	}
	for _, r := range crl.RevokedCertificateEntries {
		for _, e := range r.Extensions {
			if e.Critical {
				return fmt.Errorf("has an entry with a critical extension (%s): it is of another CA's certificate", e.Id)
			}
		}
	}
	return nil
}

// take keeps a list under each CA that has signed it; false: none has.
func (ls lists) take(crl *x509.RevocationList, authorities []*x509.Certificate) (signed bool) {
	made := &list{revoked: map[string]bool{}, made: crl.ThisUpdate, next: crl.NextUpdate, authority: crl.Issuer.String()}
	for _, r := range crl.RevokedCertificateEntries {
		made.revoked[serialOf(r.SerialNumber)] = true
	}
	for _, ca := range authorities {
		if !bytes.Equal(crl.RawIssuer, ca.RawSubject) || crl.CheckSignatureFrom(ca) != nil {
			continue
		}
		signed = true
		if before := ls[idOf(ca)]; before == nil || before.made.Before(made.made) {
			ls[idOf(ca)] = made
		}
	}
	return signed
}

// lacks are what an operator should know: lists that are too old, and CAs without one.
func (ls lists) lacks(authorities []*x509.Certificate, now time.Time) (problems []error) {
	told := map[string]bool{}
	for _, ca := range authorities {
		id := idOf(ca)
		switch l := ls[id]; {
		case told[id]:
		case l == nil:
			problems = append(problems, fmt.Errorf("has no list of %q, so no certificate of it can be taken back", ca.Subject.String()))
		case l.stale(now):
			problems = append(problems, l.tooOld())
		}
		told[id] = true
	}
	return problems
}

func (l *list) stale(now time.Time) bool { return !l.next.IsZero() && !now.Before(l.next) }

func (l *list) tooOld() error {
	return fmt.Errorf("the list of %q should have been replaced at %s (nextUpdate): no certificate of it counts until it is", l.authority, l.next.UTC().Format(time.RFC3339))
}

// check refuses certificates of which one was taken back, and those of which that is not
// known, because a list is too old.
func (ls lists) check(links []link, now time.Time) error {
	var unknown error
	for _, k := range links {
		l := ls[k.Issuer]
		switch {
		case l == nil:
		case l.revoked[k.Serial]:
			return fmt.Errorf("%w: certificate %s is on the list of %q", authn.ErrRevokedToken, k.Serial, l.authority)
		case l.stale(now):
			unknown = fmt.Errorf("%w: %w", authn.ErrUnavailable, l.tooOld())
		}
	}
	return unknown
}

// Reload looks at the file of lists again. What cannot be used does not replace what can.
func (d *Directory) Reload() error {
	if d.file.Name == "" {
		return nil
	}
	data, err := d.file.Again()
	if err != nil {
		return err
	}
	read, err := parseLists(d.file.Name, data, d.authorities)
	if err == nil {
		d.lists.Store(&read)
	}
	return err
}
