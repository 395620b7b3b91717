package authn

import (
	"context"
	"crypto/x509"
	"log/slog"
	"time"

	"gatehouse/metrics"
)

// LDAPConfig is one `ldap` directory. Strings are as in the config file; what
// the file names by path arrives here already read.
type LDAPConfig struct {
	Name           string
	Preset         string // "", openldap, ad, freeipa, 389ds, rfc2307: defaults for what is empty below
	Servers        []string
	StartTLS       bool
	AllowPlaintext bool
	Roots          *x509.CertPool // nil: the system's
	BindDN         string
	BindPassword   Secret
	Timeout        time.Duration

	UsersBase         string
	UsersFilter       string
	UsernameAttribute string
	LoginPattern      string

	// Groups by search; GroupsBase empty: the entry's memberOf.
	GroupsBase          string
	GroupsFilter        string
	GroupsNameAttribute string
	GroupsNested        bool

	Metrics *metrics.Metrics
	Logger  *slog.Logger
}

// LDAP is a Directory that asks directory servers. It remembers no people (a
// Cache does), only connections and which servers are down.
type LDAP struct{}

// NewLDAP checks the config and dials nothing. Its error joins *KeyError values
// whose keys are the config file's, relative to `ldap` (`users.filter`, `servers[1]`).
func NewLDAP(cfg LDAPConfig) (*LDAP, error) { panic("being built") }

// Available is false while every server is down.
func (d *LDAP) Available() bool { panic("being built") }

// Close lets go of idle connections and stops background work. Calls that
// still run end normally.
func (d *LDAP) Close() { panic("being built") }

func (d *LDAP) Name() string { panic("being built") }
func (d *LDAP) Find(ctx context.Context, login string) (Identity, error) {
	panic("being built")
}
func (d *LDAP) Verify(ctx context.Context, id Identity, password Secret) (Identity, error) {
	panic("being built")
}
func (d *LDAP) Lookup(ctx context.Context, ref Ref) (Identity, error) { panic("being built") }

// Finding is one line of what Inspect saw: OK, or a fault with what to do.
type Finding struct {
	Subject string // "server ldap://127.0.0.1:389", "users.base", ...
	OK      bool
	Detail  string
}

// Inspect is check --online: per server dial, TLS chain and end date, bind,
// vendor; then bases, filters, attributes in the schema.
func (d *LDAP) Inspect(ctx context.Context) []Finding { panic("being built") }
