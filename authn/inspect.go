package authn

import "context"

// Finding is one line of what Inspect saw: OK, or a fault with what to do.
type Finding struct {
	Subject string // "server ldap://127.0.0.1:389", "users.base", ...
	OK      bool
	Detail  string
}

// Inspect is check --online: per server dial, TLS chain and end date, bind,
// vendor; then bases, filters, attributes in the schema.
func (d *LDAP) Inspect(ctx context.Context) []Finding { return nil }
