package listener

import (
	"net/http"
	"net/netip"
	"net/url"
	"testing"
)

// TestTrustedProxies is B9 from the other side: the walk over hops stops at the
// first that is not trusted.
func TestTrustedProxies(t *testing.T) {
	e, faults := NewEdge(Config{TrustedProxies: []string{"10.0.0.0/8", "fd00::/8"}})
	if faults != nil {
		t.Fatal(faults)
	}
	for _, c := range []struct {
		name, remote string
		forwarded    []string
		want         string
	}{
		{"B9/nobody trusted", "192.0.2.1:5", []string{"10.0.0.1"}, "192.0.2.1"},
		{"B9/right-most that is not trusted", "10.0.0.1:5", []string{"6.6.6.6, 192.0.2.7", "10.1.1.1"}, "192.0.2.7"},
		{"B9/all trusted", "10.0.0.1:5", []string{"10.2.2.2"}, "10.2.2.2"},
		{"B9/junk stops the walk", "10.0.0.1:5", []string{"192.0.2.7, junk"}, ""},
		{"B9/no field", "10.0.0.1:5", nil, "10.0.0.1"},
		// Rows H1 and A2: what proxies of other makers write, and what cannot be read.
		{"H1/port", "10.0.0.1:5", []string{"203.0.113.9:50123"}, "203.0.113.9"},
		{"H1/IPv6 with a port", "10.0.0.1:5", []string{"[2001:db8::1]:443"}, "2001:db8::1"},
		{"H1/brackets", "10.0.0.1:5", []string{"[2001:db8::1]"}, "2001:db8::1"},
		{"H1/zone", "10.0.0.1:5", []string{"fe80::1%eth0"}, "fe80::1"},
		{"H1/zone, brackets and port", "10.0.0.1:5", []string{"[fe80::1%eth0]:1"}, "fe80::1"},
		{"H1/mapped", "10.0.0.1:5", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		{"H1/mapped, brackets and port", "10.0.0.1:5", []string{"[::ffff:203.0.113.9]:80"}, "203.0.113.9"},
		{"H1/a trusted hop with a port", "10.0.0.1:5", []string{"203.0.113.9:1, 10.0.0.2:80"}, "203.0.113.9"},
		{"H1/a trusted hop in IPv6 form", "10.0.0.1:5", []string{"203.0.113.9", "[::ffff:10.0.0.2]:80"}, "203.0.113.9"},
		{"H1/spaces", "10.0.0.1:5", []string{" 6.6.6.6 ,\t203.0.113.9:1 "}, "203.0.113.9"},
		{"H1/several lines", "10.0.0.1:5", []string{"6.6.6.6", "junk", "203.0.113.9:1"}, "203.0.113.9"},
		{"H1/junk further left", "10.0.0.1:5", []string{"unknown, 203.0.113.9"}, "203.0.113.9"},
		{"H1/unknown", "10.0.0.1:5", []string{"203.0.113.9, unknown"}, ""},
		{"H1/unknown behind a trusted hop", "10.0.0.1:5", []string{"203.0.113.9, unknown, 10.0.0.2"}, ""},
		{"H1/obfuscated", "10.0.0.1:5", []string{"_hidden"}, ""},
		{"H1/empty", "10.0.0.1:5", []string{""}, ""},
		{"H1/empty hop", "10.0.0.1:5", []string{"10.0.0.3, "}, ""},
		{"H1/empty line", "10.0.0.1:5", []string{"203.0.113.9", ""}, ""},
		{"H1/port without a number", "10.0.0.1:5", []string{"10.0.0.3:"}, ""},
		{"H1/port of letters", "10.0.0.1:5", []string{"10.0.0.3:http"}, ""},
		{"H1/port too large", "10.0.0.1:5", []string{"10.0.0.3:65536"}, ""},
		{"H1/IPv4 in brackets", "10.0.0.1:5", []string{"[10.0.0.3]"}, ""},
		{"H1/bracket left open", "10.0.0.1:5", []string{"[2001:db8::1"}, ""},
		{"H1/a name", "10.0.0.1:5", []string{"localhost"}, ""},
		{"H1/semicolon", "10.0.0.1:5", []string{"10.0.0.3;10.0.0.4"}, ""},
		{"B9/IPv6", "[fd00::1]:5", []string{"2001:db8::1"}, "2001:db8::1"},
		{"B9/mapped", "[::ffff:192.0.2.1]:5", []string{"6.6.6.6"}, "192.0.2.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: c.remote, Header: http.Header{"X-Forwarded-For": c.forwarded}}
			want, _ := netip.ParseAddr(c.want)
			if got := e.Peer(r); got.Client != want || got.Via().IsValid() == want.IsValid() {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestForwardedPort: row H11. A trusted proxy that leaves the port out of the host
// (nginx' $host) may say it apart.
func TestForwardedPort(t *testing.T) {
	for _, c := range []struct {
		name, remote string
		public       []string
		host         string
		header       http.Header
		want         string
	}{
		{"beside Host", "10.0.0.1:5", nil, "gw.test", http.Header{"X-Forwarded-Port": {"8443"}, "X-Forwarded-Proto": {"https"}}, "https://gw.test:8443"},
		{"beside X-Forwarded-Host", "10.0.0.1:5", nil, "inner:5000", http.Header{"X-Forwarded-Port": {"8443"}, "X-Forwarded-Host": {"gw.test"}}, "http://gw.test:8443"},
		{"the right-most", "10.0.0.1:5", nil, "gw.test", http.Header{"X-Forwarded-Port": {"1, 8443"}}, "http://gw.test:8443"},
		{"IPv6", "10.0.0.1:5", nil, "[2001:db8::1]", http.Header{"X-Forwarded-Port": {"8443"}}, "http://[2001:db8::1]:8443"},
		{"the host has one", "10.0.0.1:5", nil, "gw.test:5000", http.Header{"X-Forwarded-Port": {"8443"}}, "http://gw.test:5000"},
		{"the scheme's own", "10.0.0.1:5", nil, "gw.test", http.Header{"X-Forwarded-Port": {"443"}, "X-Forwarded-Proto": {"https"}}, "https://gw.test"},
		{"no number", "10.0.0.1:5", nil, "gw.test", http.Header{"X-Forwarded-Port": {"+80"}}, "http://gw.test"},
		{"none", "10.0.0.1:5", nil, "gw.test", http.Header{"X-Forwarded-Port": {"0"}}, "http://gw.test"},
		{"too large", "10.0.0.1:5", nil, "gw.test", http.Header{"X-Forwarded-Port": {"65536"}}, "http://gw.test"},
		{"a stranger's", "127.0.0.1:5", nil, "gw.test", http.Header{"X-Forwarded-Port": {"8443"}}, "http://gw.test"},
		{"public with it", "10.0.0.1:5", []string{"https://gw.test:8443"}, "gw.test", http.Header{"X-Forwarded-Port": {"8443"}}, "https://gw.test:8443"},
		{"public with and without", "10.0.0.1:5", []string{"https://gw.test", "https://gw.test:8443"}, "gw.test", http.Header{"X-Forwarded-Port": {"8443"}}, "https://gw.test:8443"},
		{"public without", "10.0.0.1:5", []string{"https://gw.test"}, "gw.test", http.Header{"X-Forwarded-Port": {"8443"}}, "https://gw.test"},
		{"public with another", "10.0.0.1:5", []string{"https://gw.test:8443"}, "gw.test", http.Header{"X-Forwarded-Port": {"8444"}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, faults := NewEdge(Config{TrustedProxies: []string{"10.0.0.0/8"}, PublicURLs: c.public})
			if faults != nil {
				t.Fatal(faults)
			}
			r := &http.Request{RemoteAddr: c.remote, Host: c.host, URL: &url.URL{}, Header: c.header}
			got, err := e.Admit(r, e.Peer(r))
			if (err != nil) != (c.want == "") || err == nil && got.String() != c.want {
				t.Errorf("%s %v, want %q", got, err, c.want)
			}
		})
	}
}

// TestTwoSchemes: a host that is public by HTTP and HTTPS gets the realm of the
// scheme that it was asked by.
func TestTwoSchemes(t *testing.T) {
	for _, urls := range [][]string{{"http://gw.test", "https://gw.test"}, {"https://gw.test", "http://gw.test"}} {
		e, faults := NewEdge(Config{PublicURLs: urls})
		if faults != nil {
			t.Fatal(faults)
		}
		for _, o := range []Origin{{"http", "GW.test:80"}, {"https", "gw.test."}, {"https", "gw.test:443"}} {
			if got, err := e.publicOrigin(o); err != nil || got != (Origin{o.Scheme, "gw.test"}) {
				t.Errorf("%v, asked by %s: %s %v", urls, o, got, err)
			}
		}
		if _, err := e.publicOrigin(Origin{"http", "gw.test:444"}); err != ErrHost {
			t.Errorf("another port: %v", err)
		}
	}
}

func TestForwardedFor(t *testing.T) {
	e, faults := NewEdge(Config{TrustedProxies: []string{"10.0.0.0/8"}})
	if faults != nil {
		t.Fatal(faults)
	}
	for _, c := range []struct{ remote, xff, want string }{
		{"192.0.2.1:5", "6.6.6.6", "192.0.2.1"},
		{"10.0.0.1:5", "6.6.6.6, 192.0.2.7", "192.0.2.7"},
		{"10.0.0.1:5", "6.6.6.6, 192.0.2.7, 10.9.9.9", "192.0.2.7"},
		{"10.0.0.1:5", "junk", "invalid IP"},
		{"[::ffff:10.0.0.1]:5", "192.0.2.7", "192.0.2.7"},
		{"[::ffff:192.0.2.1]:5", "", "192.0.2.1"},
		{"[2001:db8::1]:5", "", "2001:db8::1"},
		{"[fe80::1%eth0]:5", "", "fe80::1"},
		{"192.0.2.1", "", "invalid IP"},
		{"192.0.2.01:5", "", "invalid IP"},
		{"@", "", "invalid IP"},
	} {
		r := &http.Request{RemoteAddr: c.remote, Header: http.Header{"X-Forwarded-For": {c.xff}}}
		p := e.Peer(r)
		if got, text := p.Client.String(), p.ClientText(); got != c.want || text != c.want {
			t.Errorf("%+v: %s, %s", c, got, text)
		}
	}
	far := &http.Request{RemoteAddr: "192.0.2.1:5", Host: "x", URL: &url.URL{}, Header: http.Header{}}
	if _, err := e.Admit(far, e.Peer(far)); err != ErrPlaintext {
		t.Errorf("plain HTTP from afar: %v", err)
	}
}

// TestPrefixes: what is no CIDR is told by its key and place.
func TestPrefixes(t *testing.T) {
	for key, cfg := range map[string]Config{"trusted_proxies[1]": {TrustedProxies: []string{"10.0.0.0/8", "x"}},
		"proxy_protocol[0]": {ProxyProtocol: []string{"10.0.0.0/33"}}} {
		if _, err := NewEdge(cfg); err == nil || err.Error() != key+": is no CIDR such as 10.0.0.0/8" {
			t.Errorf("%s: %v", key, err)
		}
	}
}
