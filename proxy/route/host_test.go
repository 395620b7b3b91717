package route

import (
	"strings"
	"testing"
)

// TestValidHost: a name, an IPv4 address or an IPv6 address in brackets, each with a
// port or without.
func TestValidHost(t *testing.T) {
	long := strings.Repeat("a", 255)
	for host, want := range map[string]bool{
		"registry.example.com": true, "Registry.Example.COM": true, "a": true, "z": true, "A": true, "Z": true, "0": true, "9": true, "a-b_c.d": true,
		"az09": true, "AZ": true, "127.0.0.1": true, "[::1]": true, "[2001:db8::1]:5000": true, "host:5000": true, "host:0": true, "host:65535": true, "host:9": true,
		long: true, long + "a": false, "": false, ":5000": false, "host:": false, "host:123456": false, "host:x": false, "host:1x": false, "host:/": false, "host::": false,
		"a/b": false, "a b": false, "a@b": false, "`": false, "{": false, "[": false, "@": false, "/": false, "a:b:1": false,
		"[::1": false, "[::1]x": false, "[127.0.0.1]": false, "[x]": false, "[]": false, "[::1%eth0]": false, "a\x00": false, "ä": false,
	} {
		if ValidHost(host) != want {
			t.Errorf("ValidHost(%q) = %v", host, !want)
		}
	}
}

// TestCanonicalHost: one form for each host, by which two are compared.
func TestCanonicalHost(t *testing.T) {
	for _, c := range []struct{ scheme, host, want string }{
		{"https", "Host.Example", "host.example"}, {"https", "host.example.", "host.example"}, {"https", "host:443", "host"}, {"https", "host:80", "host:80"},
		{"http", "host:80", "host"}, {"http", "host:443", "host:443"}, {"http", "host.:80", "host"}, {"https", "[::1]:443", "[::1]"}, {"https", "[::1]", "[::1]"},
		{"https", "[2001:DB8::1]:5000", "[2001:db8::1]:5000"}, {"ftp", "host:443", "host:443"}, {"", "host:80", "host:80"}, {"https", "host.:5000", "host:5000"},
	} {
		if got := CanonicalHost(c.scheme, c.host); got != c.want {
			t.Errorf("CanonicalHost(%q, %q) = %q, want %q", c.scheme, c.host, got, c.want)
		}
	}
	for host, want := range map[string]bool{"host": false, "host:1": true, "[::1]": false, "[::1]:1": true, "": false, ":": true} {
		if HasPort(host) != want {
			t.Errorf("HasPort(%q) = %v", host, !want)
		}
	}
}

// TestAt: where a path of a registry leads, whatever the method.
func TestAt(t *testing.T) {
	for _, c := range []struct{ path, clean, want string }{
		{"/v2/a/b/manifests/v1", "/v2/a/b/manifests/v1", "manifest name=a/b ref=v1"},
		{"/v2/a/blobs/uploads/u", "/v2/a/blobs/uploads/u", "upload name=a ref=u"},
		{"/v2/a/blobs/sha256%3A" + strings.Repeat("a", 64), "/v2/a/blobs/" + digestA, "blob name=a ref=" + digestA},
		{"/v2/_catalog", "/v2/_catalog", "catalog name= ref="},
	} {
		r, clean, err := At(c.path)
		if got := r.Kind.Label() + " name=" + r.Repository; err != nil || clean != c.clean || !strings.HasPrefix(c.want, got) || r.Page != -1 || !strings.HasSuffix(c.want, r.Reference) {
			t.Errorf("%s: %s %+v %v", c.path, clean, r, err)
		}
	}
	for path, want := range map[string]Fault{"/v2/a/../b/tags/list": Malformed, "v2/a/tags/list": Malformed, "/v2/a": NoEndpoint, "/": NoEndpoint} {
		r, clean, err := At(path)
		if e, ok := err.(*Error); !ok || e.Fault != want || e.Error() == "" || e.Error() != e.Message || r.Kind != Other || want == Malformed && clean != "" {
			t.Errorf("%s: %+v %q %v", path, r, clean, err)
		}
	}
}

// TestTarget: what goes to a registry, with a mount once it may be passed and without.
func TestTarget(t *testing.T) {
	for _, c := range []struct{ method, target, want, mounted string }{
		{"GET", "/v2/a/tags/list", "/v2/a/tags/list", ""},
		{"GET", "/v2/a/tags/list?n=5&x=1", "/v2/a/tags/list?n=5", ""},
		{"POST", "/v2/a/blobs/uploads/?mount=" + digestA + "&from=b/c", "/v2/a/blobs/uploads/", "/v2/a/blobs/uploads/?mount=" + digestA + "&from=b%2Fc"},
	} {
		r, err := Parse(c.method, c.target)
		if err != nil || r.Target() != c.want {
			t.Errorf("%s: %s %v", c.target, r.Target(), err)
		}
		if c.mounted == "" {
			continue
		}
		if r.PassMount(); r.Target() != c.mounted {
			t.Errorf("%s: mounted by %s, want %s", c.target, r.Target(), c.mounted)
		}
	}
}
