package migrate

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
)

// ldap is the directory made of ldap_auth.
func (m *migration) ldap(t *tree) string {
	keys := t.pairs(m.source.ldap.value, 0)
	get := func(key string) string { text, _ := t.text(t.get(keys, key).value); return text }
	line := func(key string) int { return max(t.get(keys, key).line, m.source.ldap.line) }
	out := fmt.Sprintf("  - name: %s\n    ldap:\n", ldapName) + m.ldapServer(get("addr"), get("tls"), line("addr"))
	if ca := get("ca_certificate"); ca != "" {
		if isFile(ca) {
			m.copied(line("ca_certificate"), "ldap_auth.ca_certificate", ca, "ldap_ca.pem")
			out += "      ca_file: ldap_ca.pem\n"
		} else {
			out += "      " + FillIn + "ca_file: " + quote(ca) + "\n"
			m.lost(line("ca_certificate"), "ldap_auth.ca_certificate: %s is not on this machine: ca_file is to fill in", ca)
		}
	}
	if get("insecure_tls_skip_verify") == "true" {
		m.lost(line("insecure_tls_skip_verify"), "ldap_auth.insecure_tls_skip_verify has no counterpart: name the CA in ca_file")
	}
	switch dn := get("bind_dn"); {
	case get("initial_bind_as_user") == "true":
		m.lost(line("initial_bind_as_user"), "ldap_auth.initial_bind_as_user has no counterpart: give a service account in bind_dn, or let the directory be searched anonymously")
	case dn != "":
		out += "      bind_dn: " + quote(dn) + "\n      bind_password_file: ldap_password.txt\n"
		m.copied(line("bind_password_file"), "ldap_auth.bind_password_file", get("bind_password_file"), "ldap_password.txt")
	}
	filter, attribute := m.ldapFilter(get("filter"), line("filter"))
	base := quote(get("base"))
	if get("base") == "" {
		base = "\"dc=example,dc=com\" " + FillIn + "where people are"
		m.lost(line("base"), "ldap_auth.base is empty: users.base is to fill in")
	}
	return out + "      users:\n        base: " + base + "\n        filter: " + quote(filter) + "\n        username_attribute: " + attribute + "\n"
}

// ldapServer is where the directory answers, and how it is secured.
func (m *migration) ldapServer(addr, tls string, line int) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		host, port = addr, ""
	}
	scheme := "ldap"
	if tls == "always" || tls != "starttls" && port == "636" {
		scheme = "ldaps"
	}
	if addr == "" || strings.ContainsAny(addr, "/@ ") {
		m.lost(line, "ldap_auth.addr: %q is no host:port: servers is to fill in", addr)
		return "      servers: [\"ldap://127.0.0.1:389\"] " + FillIn + "the directory\n"
	}
	out := "      servers: [" + quote(scheme+"://"+addr) + "]\n"
	ip, perr := netip.ParseAddr(host)
	switch {
	case tls == "starttls":
		out += "      start_tls: true\n"
	case scheme == "ldap" && host != "localhost" && (perr != nil || !ip.IsLoopback()):
		out += "      allow_plaintext: true\n"
		m.note(line, "passwords cross the network in plain text to %s, as before; better is start_tls", addr)
	}
	return out
}

var accountTerm = regexp.MustCompile(`\(([A-Za-z][A-Za-z0-9-]*)=\$\{account\}\)`)

// ldapFilter is the filter with {login}, and the attribute of people's names.
func (m *migration) ldapFilter(filter string, line int) (as, attribute string) {
	found := accountTerm.FindAllStringSubmatch(filter, -1)
	attribute = "uid"
	if len(found) > 0 {
		attribute = found[0][1]
	}
	if len(found) > 1 {
		m.note(line, "people are known by their %s here, by whatever they logged in; there, by what they typed", attribute)
	}
	if !strings.Contains(filter, "${account}") {
		m.lost(line, "ldap_auth.filter has no ${account}, without which everybody is the same person; (uid={login}) is added")
		return "(&" + filter + "(uid={login}))", attribute
	}
	return strings.ReplaceAll(filter, "${account}", "{login}"), attribute
}
