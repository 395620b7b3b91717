package ldap

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// Finding is one line of what Inspect saw: OK, or a fault with what to do.
type Finding struct {
	Subject string // "server ldap://127.0.0.1:389", "users.base", ...
	OK      bool   // no fault
	Warning bool   // OK for now, but its owner should know
	Detail  string // what was seen, and where it is a fault what to do
}

func fine(subject, detail string) Finding  { return Finding{Subject: subject, OK: true, Detail: detail} }
func fault(subject, detail string) Finding { return Finding{Subject: subject, Detail: detail} }
func warn(subject, detail string) Finding {
	return Finding{Subject: subject, OK: true, Warning: true, Detail: detail}
}

// certificateSoon is when the end of a server's certificate becomes a finding.
const certificateSoon = 14 * 24 * time.Hour

// Inspect is check --online: per server dial, TLS chain and end date, bind,
// vendor; then bases, filters, attributes in the schema. It uses connections of
// its own and changes nothing of what is up or down.
func (d *Directory) Inspect(ctx context.Context) []Finding {
	var findings []Finding
	for _, s := range d.pool.servers {
		findings = append(findings, d.inspectServer(ctx, s)...)
	}
	return findings
}

func (d *Directory) inspectServer(ctx context.Context, s *server) []Finding {
	subject := "server " + s.url
	c, err := d.pool.open(ctx, s, true)
	if err != nil {
		return []Finding{fault(subject, explainOpen(err))}
	}
	defer c.close()
	// go-ldap's searches know no context.
	defer context.AfterFunc(ctx, c.close)()
	findings := []Finding{fine(subject, "connected, "+d.boundAs())}
	findings = append(findings, inspectCertificate(subject, c)...)
	root, err := readEntry(c, "", []string{"objectClass", "vendorName", "vendorVersion", "forestFunctionality", "subschemaSubentry"})
	if err != nil {
		return append(findings, fault(subject, "reading its rootDSE: "+err.Error()))
	}
	findings = append(findings, fine(subject, "vendor: "+vendor(root)))
	findings = append(findings, d.inspectKind(subject, activeDirectory(root))...)
	findings = append(findings, inspectBase(c, subject, "users.base", d.cfg.Users.Base))
	if findings[len(findings)-1].OK {
		findings = append(findings, d.inspectSearch(c, subject))
	}
	if d.cfg.Groups.Base != "" {
		findings = append(findings, inspectBase(c, subject, "groups.base", d.cfg.Groups.Base))
	}
	if d.cfg.CanaryUser != "" {
		findings = append(findings, d.inspectCanary(c, subject))
	}
	return append(findings, d.inspectSchema(c, subject, root.GetEqualFoldAttributeValue("subschemaSubentry"))...)
}

func (d *Directory) boundAs() string {
	if d.cfg.BindDN == "" {
		return "anonymous"
	}
	return "bound as " + d.cfg.BindDN
}

// explainOpen adds what to do to the errors that operators meet first.
func explainOpen(err error) string {
	text := err.Error()
	switch {
	case refusedService(err):
		text += "; check bind_dn and bind_password_file"
	case strings.Contains(text, "x509: certificate signed by unknown authority"):
		text += "; set ca_file or ca_dir"
	}
	return text
}

func inspectCertificate(subject string, c *conn) []Finding {
	state, ok := c.ldap.TLSConnectionState()
	if !ok || len(state.VerifiedChains) == 0 {
		return nil
	}
	end, names := time.Time{}, []string{}
	for _, certificate := range state.VerifiedChains[0] {
		names = append(names, cmp.Or(certificate.Subject.CommonName, certificate.Subject.String()))
		if end.IsZero() || certificate.NotAfter.Before(end) {
			end = certificate.NotAfter
		}
	}
	detail := fmt.Sprintf("TLS chain %s, good until %s", strings.Join(names, " < "), end.UTC().Format(time.DateOnly))
	if time.Until(end) < certificateSoon {
		return []Finding{warn(subject, detail+": renew it")}
	}
	return []Finding{fine(subject, detail)}
}

// vendor is what the rootDSE says (RFC 3045). OpenLDAP and Active Directory say
// nothing; they are known by an object class and an attribute of their own.
func vendor(root *ldap.Entry) string {
	name := root.GetEqualFoldAttributeValue("vendorName") + " " + root.GetEqualFoldAttributeValue("vendorVersion")
	if slices.Contains(root.GetEqualFoldAttributeValues("objectClass"), "OpenLDAProotDSE") {
		name += " OpenLDAP"
	}
	if activeDirectory(root) {
		name += " Active Directory"
	}
	return cmp.Or(strings.TrimSpace(name), "not told")
}

func activeDirectory(root *ldap.Entry) bool {
	return root.GetEqualFoldAttributeValue("forestFunctionality") != ""
}

// inChain is the matching rule by which Active Directory follows nested groups.
// Other servers do not refuse it: they find nobody.
const inChain = "1.2.840.113556.1.4.1941"

// inspectKind looks for what only Active Directory does.
func (d *Directory) inspectKind(subject string, activeDirectory bool) (findings []Finding) {
	if activeDirectory {
		return nil
	}
	if d.cfg.Preset == "ad" {
		findings = append(findings, fault(subject, "preset: it is ad, and this is no domain controller"))
	}
	for _, filter := range []struct{ key, text string }{{"users.filter", d.cfg.Users.Filter}, {"groups.filter", d.cfg.Groups.Filter}} {
		if strings.Contains(filter.text, inChain) {
			findings = append(findings, fault(subject, filter.key+": "+inChain+" is a rule of Active Directory; here it would match nobody"))
		}
	}
	return findings
}

func inspectBase(c *conn, subject, key, dn string) Finding {
	if _, err := readEntry(c, dn, []string{"1.1"}); err != nil {
		return fault(subject, fmt.Sprintf("%s: reading %s: %v; check its spelling and the service account's rights", key, dn, err))
	}
	return fine(subject, fmt.Sprintf("%s: %s is there", key, dn))
}

// slowSearch is how long a server may look for somebody before an index is missing.
const slowSearch = 500 * time.Millisecond

// nobody is a login that no directory has.
const nobody = "gatehouse-check-nobody"

// inspectSearch looks for somebody who does not exist, as a login does.
func (d *Directory) inspectSearch(c *conn, subject string) Finding {
	start := time.Now()
	result, err := c.ldap.Search(d.userSearch(d.cfg.Users.loginFilter(nobody)))
	took := time.Since(start).Round(100 * time.Microsecond)
	switch {
	case err == nil && len(result.Entries) > 0, ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded):
		return fault(subject, "users.filter: finds somebody whatever is typed")
	case err != nil:
		return fault(subject, "users.filter: the server refuses the search: "+err.Error())
	case took > slowSearch:
		return warn(subject, fmt.Sprintf("users.filter: the search took %s: is an index missing?", took))
	}
	return fine(subject, fmt.Sprintf("users.filter: searched in %s", took))
}

// inspectCanary looks for the canary user: without it every absence would be a fault.
func (d *Directory) inspectCanary(c *conn, subject string) Finding {
	result, err := c.ldap.Search(d.userSearch(d.canaryFilter()))
	switch {
	case err != nil:
		return fault(subject, fmt.Sprintf("canary_user: looking for %s: %v", d.cfg.CanaryUser, err))
	case len(result.Entries) != 1:
		return fault(subject, fmt.Sprintf("canary_user: users.filter finds nobody for %s; name somebody who stays", d.cfg.CanaryUser))
	case nameOf(result.Entries[0], d.cfg.Users.UsernameAttribute).normal == "":
		return fault(subject, fmt.Sprintf("canary_user: %s shows no %s (users.username_attribute); check the service account's rights", result.Entries[0].DN, d.cfg.Users.UsernameAttribute))
	}
	return fine(subject, "canary_user: "+result.Entries[0].DN)
}

var (
	filterAttribute = regexp.MustCompile(`\(\s*([A-Za-z][A-Za-z0-9-]*)\s*(?:[~<>]?=|:)`)
	// schemaNames takes the names out of an attribute type: one in quotes, or
	// several in parentheses (RFC 4512 4.1.2).
	schemaNames = regexp.MustCompile(`\bNAME\s+(?:'([^']*)'|\(([^)]*)\))`)
)

// inspectSchema looks for the attributes of the filters in the server's schema,
// because servers take an unknown one for "matches nobody".
func (d *Directory) inspectSchema(c *conn, subject, dn string) []Finding {
	if dn == "" {
		return []Finding{fine(subject, "it does not show its schema: attributes are not checked")}
	}
	known, err := readSchema(c, dn)
	if err != nil {
		return []Finding{fault(subject, "reading its schema: "+err.Error())}
	}
	if len(known) == 0 {
		return []Finding{fine(subject, "its schema shows no attributes: they are not checked")}
	}
	var findings []Finding
	for _, use := range d.attributeUses() {
		if !known[strings.ToLower(use.name)] {
			findings = append(findings, fault(subject, fmt.Sprintf("%s: its schema has no attribute %s", use.key, use.name)))
		}
	}
	if len(findings) == 0 {
		findings = append(findings, fine(subject, fmt.Sprintf("every attribute of the filters is in its schema (%d known)", len(known))))
	}
	if d.cfg.Groups.Base == "" && !known["memberof"] {
		findings = append(findings, warn(subject, "its schema has no memberOf: nobody has groups; set groups.base"))
	}
	return findings
}

// readSchema returns the names of the attributes that the server knows, in lower case.
func readSchema(c *conn, dn string) (map[string]bool, error) {
	schema, err := readEntry(c, dn, []string{"attributeTypes"})
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, definition := range schema.GetEqualFoldAttributeValues("attributeTypes") {
		if names := schemaNames.FindStringSubmatch(definition); names != nil {
			for _, name := range strings.Fields(names[1] + " " + names[2]) {
				known[strings.ToLower(strings.Trim(name, "'"))] = true
			}
		}
	}
	return known, nil
}

// attributeUse is an attribute and the config key that names it.
type attributeUse struct{ key, name string }

func (d *Directory) attributeUses() []attributeUse {
	uses := []attributeUse{{"users.username_attribute", d.cfg.Users.UsernameAttribute}}
	add := func(key, filter string) {
		for _, match := range filterAttribute.FindAllStringSubmatch(filter, -1) {
			uses = append(uses, attributeUse{key, match[1]})
		}
	}
	add("users.filter", d.cfg.Users.Filter)
	if d.cfg.Groups.Base != "" {
		add("groups.filter", d.cfg.Groups.Filter)
		uses = append(uses, attributeUse{"groups.name_attribute", d.cfg.Groups.NameAttribute})
	}
	return uses
}

func readEntry(c *conn, dn string, attributes []string) (*ldap.Entry, error) {
	result, err := c.ldap.Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 3, false,
		"(objectClass=*)", attributes, nil))
	if err != nil {
		return nil, c.explainPlain(err)
	}
	if len(result.Entries) != 1 {
		return nil, fmt.Errorf("%q is not readable", dn)
	}
	return result.Entries[0], nil
}
