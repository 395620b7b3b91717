package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// write makes a file with a mode that the umask does not change.
func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// TestValuesThatNobodyMeans (A21): what is a mistake far more often than a wish is a
// fault, or at least a warning; what is next to it is neither.
func TestValuesThatNobodyMeans(t *testing.T) {
	const ldap = `directories: [{name: a, ldap: {servers: ["ldap://127.0.0.1:1"], users: {base: dc=x, filter: "(uid={login})"}, %}}]`
	for _, test := range []struct{ text, want string }{ // want: the key, with a ! in front where it is a fault
		{ldap + "timeout: 1ns", "!directories[0].ldap.timeout"}, {ldap + "timeout: 5ms", "!directories[0].ldap.timeout"},
		{ldap + "timeout: 0s", "!directories[0].ldap.timeout"}, {ldap + "timeout: 100ms", ""},
		{"upstream: {timeout: 1ns, %}", "!upstream.timeout"}, {"upstream: {timeout: 999ms, %}", "!upstream.timeout"}, {"upstream: {timeout: 1s, %}", ""},
		{"throttle: {window: 1ns}", "!throttle.window"}, {"throttle: {window: 1s}", ""}, {"throttle: {window: 0s, failures: 0, users_per_source: 0}", ""},
		{strings.Replace(ldap, "127.0.0.1:1", "ldap.example.com", 1) + "allow_plaintext: true", "directories[0].ldap.allow_plaintext"},
		{ldap + "allow_plaintext: true", ""}, {strings.Replace(ldap, "127.0.0.1:1", "ldap.example.com", 1) + "allow_plaintext: true, start_tls: true", ""},
		{ldap + "preset: rfc2307", "directories[0].ldap.preset"}, {ldap + "preset: rfc2307, groups: {base: dc=x}", ""}, // D2
		{ldap + "cache: {fresh_for: 8760h}", "directories[0].ldap.cache.fresh_for"}, {ldap + "cache: {fresh_for: 1h}", ""},
		{ldap + "cache: {stale_for: 87600h}", "directories[0].ldap.cache.stale_for"}, {ldap + "cache: {stale_for: 24h}", ""},
		{ldap + "cache: {negative_for: 8760h}", "directories[0].ldap.cache.negative_for"},
		{ldap + "cache: {wrong_password_for: 8760h}", "directories[0].ldap.cache.wrong_password_for"},
		{"cache: {fresh_for: 24h}", "cache.fresh_for"}, {"cache: {fresh_for: 1h, stale_for: 168h, tags_fresh_for: 1h}", ""},
		{"cache: {stale_for: 1000h}", "cache.stale_for"}, {"cache: {tags_fresh_for: 61m}", "cache.tags_fresh_for"},
		{"tokens: {upload_grace: 87600h}", "tokens.upload_grace"}, {"tokens: {upload_grace: 24h}", ""},
		{"tokens: {refresh_lifetime: 876000h}", "tokens.refresh_lifetime"}, {"tokens: {refresh_lifetime: 720h}", ""},
		{`listen: {address: "127.0.0.1:1", trusted_proxies: ["0.0.0.0/0"]}`, "listen.trusted_proxies[0]"},
		{`listen: {address: "127.0.0.1:1", trusted_proxies: ["10.0.0.0/8", "::/0"]}`, "listen.trusted_proxies[1]"},
		{`listen: {address: "127.0.0.1:1", trusted_proxies: ["128.0.0.0/1"]}`, "listen.trusted_proxies[0]"},
		{`listen: {address: ":1", trusted_proxies: ["0.0.0.0/0"]}`, "listen.address listen.trusted_proxies[0]"},
		{`listen: {address: "127.0.0.1:1", trusted_proxies: ["10.1.2.3/8"]}`, "listen.trusted_proxies[0]"},
		{`listen: {address: "127.0.0.1:1", trusted_proxies: ["fd00::1/64"]}`, "listen.trusted_proxies[0]"},
		{`listen: {address: "127.0.0.1:1", trusted_proxies: ["10.0.0.0/8", "10.1.2.3", "fd00::/8"]}`, "listen.trusted_proxies[2]"},
		{`listen: {address: "127.0.0.1:1", trusted_proxies: ["10.0.0.0/8", "10.1.2.3", "fd00::/16"]}`, ""},
		{`upstream: {url: "http://registry:5000", username: u, password_file: secret}`, "upstream.username"},
		{`upstream: {url: "HTTP://192.0.2.1", username: u, password_file: secret}`, "upstream.username"},
		{`upstream: {url: "https://registry:5000", username: u, password_file: secret}`, ""},
		{`upstream: {url: "http://127.0.0.1:5000", username: u, password_file: secret}`, ""},
		{`upstream: {url: "http://[::1]:5000", username: u, password_file: secret}`, ""},
		{`upstream: {url: "http://registry:5000"}`, ""},
		{`listen: {address: "127.0.0.1:1", http_address: ":80"}`, "!listen.http_address"},
		{`listen: {address: "127.0.0.1:1"}` + "\nadmin: {address: \"127.0.0.1:1\"}", "!admin.address"}, {`listen: {address: "127.0.0.1:1"}` + "\nadmin: {address: \":1\"}", "!admin.address admin.address"},
		{`listen: {address: "127.0.0.1:1"}` + "\nadmin: {address: \"[::]:1\"}", "!admin.address admin.address"}, {`listen: {address: "127.0.0.1:1"}` + "\nadmin: {address: \"127.0.0.2:1\"}", ""}, {`listen: {address: "127.0.0.1:0"}` + "\nadmin: {address: \"127.0.0.1:0\"}", ""},
		{`listen: {address: "127.0.0.1:1", http_address: "127.0.0.1:1"}`, "!listen.http_address !listen.http_address"},
		{`listen: {address: "127.0.0.1:1", allow_plaintext: true, proxy_protocol: ["10.0.0.0/8"]}`, ""},
		{`listen: {address: "127.0.0.1:1", proxy_protocol: ["10.0.0.0/8"]}`, "listen.proxy_protocol"},
		{`listen: {address: "127.0.0.1:1", allow_plaintext: true, proxy_protocol: ["0.0.0.0/0"]}`, "listen.proxy_protocol[0]"},
		{`listen: {address: ":1", allow_plaintext: true, public_urls: ["http://a"]}` + "\nui: {enabled: true}", "listen.allow_plaintext ui.enabled"}, {`listen: {address: ":1", allow_plaintext: true}` + "\nui: {idle: 30m}", "listen.allow_plaintext"},
		{"ui: {enabled: true}", "ui.enabled"}, {"ui: {session: 4m}", "!ui.session"}, {"ui: {session: 25h}", "!ui.session"}, {"ui: {session: 5m}", ""}, {"ui: {session: 10m, idle: 10m}", ""}, {"ui: {idle: 59s}", "!ui.idle"},
		{`ui: {title: ""}`, "!ui.title"}, {"ui: {title: " + strings.Repeat("ä", 60) + "}", ""}, {"ui: {title: " + strings.Repeat("a", 61) + "}", "!ui.title"}, {"ui: {admins: [everyone, \"user:a\", authenticated]}", "!ui.admins[0] !ui.admins[2]"},
		{"ui: {page_size: 9}", "!ui.page_size"}, {"ui: {page_size: 201}", "!ui.page_size"}, {"ui: {upstream_requests: 65}", "!ui.upstream_requests"}, {"ui: {cache_bytes: 1}", "!ui.cache_bytes"}, {"ui: {catalog_refresh: 9s}", "!ui.catalog_refresh"},
		{"ui: {help_file: none.txt}", "!ui.help_file"}, {"ui: {help_file: secret}", ""},
		{`admin: {address: "0.0.0.0:2"}`, "admin.address"}, {`admin: {address: ":2"}`, "admin.address"}, {`admin: {address: "[::]:2"}`, "admin.address"},
		{`admin: {address: "10.0.0.1:1"}`, ""}, {`admin: {address: ""}`, ""},
	} {
		text := test.text
		if before, after, ok := strings.Cut(text, "%"); ok {
			if extra, rest, inList := strings.Cut(after, "}}]"); inList {
				text = before + rest + extra + "}}]"
			} else {
				text = before + `url: "http://127.0.0.1:1"` + after
			}
		}
		if !strings.Contains(text, "listen:") {
			text += "\nlisten: {address: \"127.0.0.1:1\"}"
		}
		if !strings.Contains(text, "upstream:") {
			text += "\nupstream: {url: \"http://127.0.0.1:1\"}"
		}
		dir := t.TempDir()
		write(t, filepath.Join(dir, "secret"), "x", 0o600)
		write(t, filepath.Join(dir, "c.yaml"), text+"\n", 0o600)
		if got := said(Load(filepath.Join(dir, "c.yaml"))); got != test.want {
			t.Errorf("%s\ngot %q, want %q", text, got, test.want)
		}
	}
}

// said are the keys of all findings, faults with a ! in front.
func said(l *Loaded) string {
	var list []string
	for _, f := range l.findings {
		list = append(list, map[bool]string{false: "!"}[f.Warning]+f.Key)
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// TestConfigThatOthersCanWrite (A21) is a warning, and the config is read all the same.
func TestConfigThatOthersCanWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	for mode, want := range map[os.FileMode]string{0o644: "", 0o666: "c.yaml:1:1: can be written by others (mode 0666)", 0o664: "can be written by others (mode 0664)"} {
		write(t, path, "upstream: {url: \"http://127.0.0.1:1\"}\nlisten: {address: \"127.0.0.1:1\"}\n", mode)
		l, got := Load(path), ""
		for _, f := range l.findings {
			got += f.String()
		}
		if (want == "") != (got == "") || !strings.Contains(got, want) || !l.Decoded() || len(l.Faults()) > 0 {
			t.Errorf("mode %04o: %q, want %q", mode, got, want)
		}
	}
}

// TestWhoCouldReplaceASecret (A21) holds files and folders against sshd's rule.
func TestWhoCouldReplaceASecret(t *testing.T) {
	for _, test := range []struct {
		name      string
		outer     os.FileMode // of the folder above the file's
		folder    os.FileMode
		strangers bool // nobody is an owner that is believed
		symlink   bool // the config names a link in a good folder
		want      string
	}{
		{"as it should be", 0o755, 0o755, false, false, ""},
		{"private", 0o755, 0o700, false, false, ""},
		{"an open folder", 0o755, 0o777, false, false, "can be written by them (mode 0777)"},
		{"a group's folder", 0o755, 0o775, false, false, "can be written by them (mode 0775)"},
		{"a sticky folder", 0o755, 0o777 | os.ModeSticky, false, false, ""},
		{"below an open folder", 0o777, 0o755, false, false, "can be written by them (mode 0777)"},
		{"below a sticky folder", 0o777 | os.ModeSticky, 0o755, false, false, ""},
		{"an open folder that nobody can reach", 0o700, 0o777, false, false, "can be written by them (mode 0777)"},
		{"a group's folder that nobody can reach", 0o700, 0o775, false, false, ""},
		{"another's file", 0o755, 0o755, true, false, "who can write it; chown it to root or to the user that the gateway runs as, and check as that user"},
		{"a link into an open folder", 0o755, 0o777, false, true, "can be written by them (mode 0777)"},
		{"a link into a good folder", 0o755, 0o755, false, true, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			base := open(t)
			outer := filepath.Join(base, "outer")
			folder := filepath.Join(outer, "folder")
			if err := os.MkdirAll(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(folder, "secret")
			write(t, file, "x", 0o600)
			if test.symlink {
				link := filepath.Join(base, "link")
				if err := os.Symlink(file, link); err != nil {
					t.Fatal(err)
				}
				file = link
			}
			for dir, mode := range map[string]os.FileMode{folder: test.folder, outer: test.outer} {
				if err := os.Chmod(dir, mode); err != nil {
					t.Fatal(err)
				}
			}
			o := ownersBeside(file)
			if test.strangers {
				o = owners{}
			}
			_, err := o.read("secret", file)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

// open is a folder that everybody can reach, as the test's own are not.
func open(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gatehouse-owner-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestLeftOut: a key that is left out is no more than the one that bounds it; one that stands
// there is taken as it is.
func TestLeftOut(t *testing.T) {
	for text, want := range map[string]string{
		"{}": "30m0s", "{session: 8h}": "30m0s", "{session: 5m}": "5m0s", "{session: 29m}": "29m0s", "{session: 30m}": "30m0s", "{idle: 5m}": "5m0s",
		"{session: 5m, idle: 5m}": "5m0s", "{session: 10m, idle: 1m}": "1m0s",
		"{session: 5m, idle: 0s}":   "c.yaml:3:19: ui.idle: must be at least 1m, not 0s",
		"{session: 5m, idle: 59s}":  "c.yaml:3:19: ui.idle: must be at least 1m, not 59s",
		"{idle: 0s}":                "c.yaml:3:6: ui.idle: must be at least 1m, not 0s",
		"{session: 5m, idle: 30m}":  "c.yaml:3:19: ui.idle: must be at most ui.session (5m0s), not 30m0s",
		"{session: 5m, idle: 301s}": "c.yaml:3:19: ui.idle: must be at most ui.session (5m0s), not 5m1s",
		"{session: 30s}":            "c.yaml:3:6: ui.session: must be from 5m to 24h, not 30s",
		"{session: 0s}":             "c.yaml:3:6: ui.session: must be from 5m to 24h, not 0s",
		"{session: 5m, idle: }":     "c.yaml:3:19: ui.idle: has no value; give one or leave the key out",
	} {
		path := filepath.Join(t.TempDir(), "c.yaml")
		write(t, path, "upstream: {url: \"http://127.0.0.1:1\"}\nlisten: {address: \"127.0.0.1:1\"}\nui: "+text+"\n", 0o600)
		l := Load(path)
		got := l.Config.UI.Idle.String()
		if len(l.findings) > 0 {
			got = ""
		}
		for _, f := range l.findings {
			got += strings.TrimPrefix(f.String(), filepath.Dir(path)+"/")
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
