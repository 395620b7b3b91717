package main

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"github.com/hashicorp/go-hclog"
	"github.com/jimlambrt/gldap"
)

// The names that main.go puts into the gateway's config.
const (
	suffix         = "dc=example,dc=com"
	musiciansBase  = "ou=musicians," + suffix
	serviceAccount = "uid=serviceaccount,ou=it," + suffix
	password       = "password" // everybody's
)

// operational are the attributes that a server sends only to who asks for them
// by name or by "+" (RFC 4512 section 3.4, RFC 3673).
var operational = map[string]bool{"entryuuid": true, "pwdchangedtime": true, "memberof": true}

// entry is one entry of the directory. Attribute types are in lower case.
type entry struct {
	name       string
	dn         *ldap.DN
	attributes map[string][]string
	password   string // empty: no bind
}

// directory is a small LDAP server: simple binds and searches over a fixed tree,
// with real filters, scopes and size limits. Only a bound connection may search,
// as in a company's directory that knows its readers.
type directory struct {
	address string // host:port
	entries []entry
	server  *gldap.Server
	stopped chan error

	mu    sync.Mutex
	bound map[int]bool // by connection
}

// startDirectory serves the musicians on a free port of 127.0.0.1.
func startDirectory() (*directory, error) {
	d := &directory{entries: musicians(), bound: map[int]bool{}, stopped: make(chan error, 1)}
	var err error
	if d.server, err = gldap.NewServer(gldap.WithLogger(hclog.NewNullLogger()), gldap.WithOnClose(d.forget)); err != nil {
		return nil, err
	}
	mux, err := gldap.NewMux()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(mux.Bind(d.bind), mux.Search(d.search), d.server.Router(mux)); err != nil {
		return nil, err
	}
	if d.address, err = freeAddress("127.0.0.1:0"); err != nil {
		return nil, err
	}
	go func() { d.stopped <- d.server.Run(d.address) }()
	return d, d.await(5 * time.Second)
}

// await returns when the server answers, or says why it does not.
func (d *directory) await(limit time.Duration) error {
	deadline := time.After(limit)
	for {
		if conn, err := net.Dial("tcp", d.address); err == nil {
			return conn.Close()
		}
		select {
		case err := <-d.stopped:
			return fmt.Errorf("the LDAP server ended: %w", err)
		case <-deadline:
			return fmt.Errorf("the LDAP server does not answer on %s", d.address)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// stop ends the server once its clients have hung up.
func (d *directory) stop() error { return d.server.Stop() }

func (d *directory) forget(connection int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.bound, connection)
}

// bind answers a simple bind (RFC 4511 section 4.2). A refused or anonymous one
// leaves the connection without rights.
func (d *directory) bind(w *gldap.ResponseWriter, r *gldap.Request) {
	code := gldap.ResultInvalidCredentials
	if m, err := r.GetSimpleBindMessage(); err == nil {
		code = d.checkPassword(m.UserName, string(m.Password))
		d.mu.Lock()
		d.bound[r.ConnectionID()] = code == gldap.ResultSuccess && m.UserName != ""
		d.mu.Unlock()
	}
	_ = w.Write(r.NewBindResponse(gldap.WithResponseCode(code)))
}

func (d *directory) checkPassword(name, password string) int {
	if name == "" && password == "" {
		return gldap.ResultSuccess // anonymous
	}
	if password == "" {
		return gldap.ResultUnwillingToPerform // RFC 4513 section 5.1.2
	}
	dn, err := ldap.ParseDN(name)
	if err != nil {
		return gldap.ResultInvalidDNSyntax
	}
	for _, e := range d.entries {
		if e.password == password && e.dn.EqualFold(dn) {
			return gldap.ResultSuccess
		}
	}
	return gldap.ResultInvalidCredentials
}

// search answers a search (RFC 4511 section 4.5).
func (d *directory) search(w *gldap.ResponseWriter, r *gldap.Request) {
	code := gldap.ResultProtocolError
	if m, err := r.GetSearchMessage(); err == nil {
		var found []entry
		found, code = d.find(m, r.ConnectionID())
		for _, e := range found {
			_ = w.Write(r.NewSearchResponseEntry(e.name, gldap.WithAttributes(e.selected(m.Attributes))))
		}
	}
	_ = w.Write(r.NewSearchDoneResponse(gldap.WithResponseCode(code)))
}

// find returns the entries that a search gives, and its result code.
func (d *directory) find(m *gldap.SearchMessage, connection int) ([]entry, int) {
	if m.BaseDN == "" && m.Scope == gldap.BaseObject {
		return []entry{rootDSE()}, gldap.ResultSuccess
	}
	d.mu.Lock()
	bound := d.bound[connection]
	d.mu.Unlock()
	if !bound {
		return nil, gldap.ResultInsufficientAccessRights
	}
	base, err := ldap.ParseDN(m.BaseDN)
	if err != nil {
		return nil, gldap.ResultInvalidDNSyntax
	}
	filter, err := ldap.CompileFilter(m.Filter)
	if err != nil {
		return nil, gldap.ResultProtocolError
	}
	return d.matching(base, m.Scope, filter, int(m.SizeLimit))
}

func (d *directory) matching(base *ldap.DN, scope gldap.Scope, filter *ber.Packet, limit int) ([]entry, int) {
	var found []entry
	code := gldap.ResultNoSuchObject
	for _, e := range d.entries {
		if e.dn.EqualFold(base) {
			code = gldap.ResultSuccess
		}
		if !within(e.dn, base, scope) || matches(e, filter) != yes {
			continue
		}
		if limit > 0 && len(found) == limit {
			return found, gldap.ResultSizeLimitExceeded
		}
		found = append(found, e)
	}
	return found, code
}

func within(dn, base *ldap.DN, scope gldap.Scope) bool {
	switch scope {
	case gldap.BaseObject:
		return dn.EqualFold(base)
	case gldap.SingleLevel:
		return len(dn.RDNs) == len(base.RDNs)+1 && base.AncestorOfFold(dn)
	default:
		return dn.EqualFold(base) || base.AncestorOfFold(dn)
	}
}

// verdict is a filter's value: three of them, so that the negation of what we
// cannot judge matches nothing either (RFC 4511 section 4.5.1.7).
type verdict int

const (
	no verdict = iota
	undefined
	yes
)

func truth(b bool) verdict {
	if b {
		return yes
	}
	return no
}

// matches evaluates a filter. Ordering and extensible matches are undefined here.
func matches(e entry, f *ber.Packet) verdict {
	switch f.Tag {
	case ldap.FilterAnd:
		v := yes
		for _, c := range f.Children {
			v = min(v, matches(e, c))
		}
		return v
	case ldap.FilterOr:
		v := no
		for _, c := range f.Children {
			v = max(v, matches(e, c))
		}
		return v
	case ldap.FilterNot:
		return yes - matches(e, f.Children[0])
	case ldap.FilterPresent:
		return truth(len(e.values(f)) > 0)
	case ldap.FilterEqualityMatch, ldap.FilterApproxMatch:
		return anyValue(e.values(f.Children[0]), func(v string) bool { return equal(v, text(f.Children[1])) })
	case ldap.FilterSubstrings:
		return anyValue(e.values(f.Children[0]), func(v string) bool { return hasParts(v, f.Children[1].Children) })
	}
	return undefined
}

// values are those of the attribute that a packet names.
func (e entry) values(attribute *ber.Packet) []string {
	return e.attributes[strings.ToLower(text(attribute))]
}

func text(p *ber.Packet) string { return p.Data.String() }

func anyValue(values []string, match func(string) bool) verdict {
	for _, v := range values {
		if match(v) {
			return yes
		}
	}
	return no
}

// equal compares two values without regard to case, and as names where both are.
func equal(a, b string) bool {
	if strings.EqualFold(a, b) {
		return true
	}
	if !strings.Contains(a, "=") || !strings.Contains(b, "=") {
		return false
	}
	x, errX := ldap.ParseDN(a)
	y, errY := ldap.ParseDN(b)
	return errX == nil && errY == nil && x.EqualFold(y)
}

// hasParts says whether the value has the parts of a substring filter in order.
func hasParts(value string, parts []*ber.Packet) bool {
	rest := strings.ToLower(value)
	for _, p := range parts {
		part := strings.ToLower(text(p))
		at := strings.Index(rest, part)
		switch p.Tag {
		case ldap.FilterSubstringsInitial:
			if at != 0 {
				return false
			}
		case ldap.FilterSubstringsFinal:
			return strings.HasSuffix(rest, part)
		}
		if at < 0 {
			return false
		}
		rest = rest[at+len(part):]
	}
	return true
}

// selected are the attributes that a search asked for (RFC 4511 section 4.5.1.8).
func (e entry) selected(asked []string) map[string][]string {
	named, all, allOperational := map[string]string{}, len(asked) == 0, false
	for _, a := range asked {
		named[strings.ToLower(a)] = a
		all = all || a == "*"
		allOperational = allOperational || a == "+"
	}
	result := map[string][]string{}
	for kind, values := range e.attributes {
		spelled, isNamed := named[kind]
		switch {
		case isNamed:
			result[spelled] = values
		case operational[kind] && allOperational, !operational[kind] && all:
			result[kind] = values
		}
	}
	return result
}

// rootDSE describes the server itself (RFC 4512 section 5.1).
func rootDSE() entry {
	return entry{attributes: map[string][]string{
		"objectclass":          {"top"},
		"namingcontexts":       {suffix},
		"supportedldapversion": {"3"},
		"vendorname":           {"Gatehouse demo"},
	}}
}

// musicians is the tree: two who may log in, two who may not, and the account
// that the gateway searches with.
func musicians() []entry {
	people := []entry{
		person("mozart", "Wolfgang Amadeus", "Mozart", "musicians", "5ba1a4e2-0000-4000-8000-000000000001"),
		person("bach", "Johann Sebastian", "Bach", "musicians", "5ba1a4e2-0000-4000-8000-000000000002"),
		person("schopenhauer", "Arthur", "Schopenhauer", "philosophs", "5ba1a4e2-0000-4000-8000-000000000003"),
		person("kant", "Immanuel", "Kant", "philosophs", "5ba1a4e2-0000-4000-8000-000000000004"),
		person("serviceaccount", "Service", "Account", "it", "5ba1a4e2-0000-4000-8000-000000000005"),
	}
	tree := []entry{
		newEntry(suffix, map[string][]string{"objectclass": {"top", "organization", "dcObject"}, "dc": {"example"}, "o": {"Example"}}),
		unit("musicians"), unit("philosophs"), unit("it"), unit("groups"),
		group("composers", people[0:2]),
		group("pianists", people[0:1]),
		group("thinkers", people[2:4]),
	}
	return append(tree, people...)
}

func person(uid, given, family, unit, uuid string) entry {
	e := newEntry("uid="+uid+",ou="+unit+","+suffix, map[string][]string{
		"objectclass":    {"top", "person", "organizationalPerson", "inetOrgPerson"},
		"uid":            {uid},
		"cn":             {given + " " + family},
		"givenname":      {given},
		"sn":             {family},
		"mail":           {uid + "@example.com"},
		"entryuuid":      {uuid},
		"pwdchangedtime": {"20240101000000Z"},
	})
	e.password = password
	return e
}

func unit(name string) entry {
	return newEntry("ou="+name+","+suffix, map[string][]string{"objectclass": {"top", "organizationalUnit"}, "ou": {name}})
}

// group makes a group, and its members know of it by memberOf.
func group(name string, members []entry) entry {
	dn := "cn=" + name + ",ou=groups," + suffix
	names := make([]string, len(members))
	for i, m := range members {
		names[i] = m.name
		m.attributes["memberof"] = append(m.attributes["memberof"], dn)
	}
	return newEntry(dn, map[string][]string{"objectclass": {"top", "groupOfNames"}, "cn": {name}, "member": names})
}

// newEntry parses a name of this file; the tests parse each of them.
func newEntry(name string, attributes map[string][]string) entry {
	dn, err := ldap.ParseDN(name)
	if err != nil {
		dn = &ldap.DN{}
	}
	return entry{name: name, dn: dn, attributes: attributes}
}
