package proxy

import (
	"strings"

	"gatehouse/proxy/route"
)

// challenge is the WWW-Authenticate value of a 401 (distribution's token
// specification; RFC 6750 section 3): exactly one, the attributes in the order
// realm, service, scope, error, and empty ones left out, because a widespread
// parser stops at the first empty value.
func challenge(x *exchange, service, reason string) string {
	var b strings.Builder
	b.WriteString("Bearer realm=")
	b.WriteString(quote(x.origin.String() + "/auth"))
	for _, p := range []route.Pair{{Key: "service", Value: service}, {Key: "scope", Value: x.route.Scope()}, {Key: "error", Value: reason}} {
		if p.Value != "" {
			b.WriteString("," + p.Key + "=" + quote(p.Value))
		}
	}
	return b.String()
}

// quote writes a quoted-string (RFC 9110 section 5.6.4). What it is given was
// held against a grammar before, or comes from the config.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
