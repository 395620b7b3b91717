package config

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse/authn"
	"gatehouse/proxy/content"
	"gatehouse/proxy/listener"
)

// decode reads a text alone, without files.
func decode(text string) (Config, *Report) {
	var cfg Config
	r := &Report{File: "gatehouse.yaml"}
	r.places = decodeConfig([]byte(text), &cfg, r)
	return cfg, r
}

// TestDefaults holds what a file may leave out against the contract, sections in lists
// and optional ones included.
func TestDefaults(t *testing.T) {
	cfg, r := decode("directories:\n- name: a\n  ldap: {users: {base: x}}\nlisten:\n  tls: {cert_file: c}\n")
	if len(r.findings) > 0 {
		t.Fatal(r.findings)
	}
	got := map[string]string{}
	walk(field{value: reflect.ValueOf(&cfg).Elem()}, func(f field) {
		if scalar(f.value.Type()) {
			got[f.key] = fmt.Sprint(f.value.Interface())
		}
	})
	for key, want := range map[string]string{
		"listen.address": ":5000", "listen.allow_plaintext": "false", "listen.basic": "false", "listen.tls.min_version": "1.2", "upstream.blob_mount": "auto", "upstream.idle_timeout": "45s",
		"admin.address": "127.0.0.1:9180", "admin.pprof": "false", "upstream.timeout": "30s",
		"tokens.service": "gatehouse", "tokens.issuer": "gatehouse", "tokens.lifetime": "15m0s", "tokens.upload_grace": "6h0m0s",
		"tokens.refresh_lifetime": "0s", "throttle.failures": "5", "throttle.window": "5m0s", "throttle.users_per_source": "50",
		"shutdown.delay": "0s", "shutdown.timeout": "5m0s", "log.level": "info", "audit.file": "", "audit.per_second": "100",
		"limits.header_timeout": "10s", "limits.header_fields": "100", "limits.header_bytes": "32768", "limits.http2_streams": "100",
		"limits.form_bytes": "131072", "limits.scopes": "1000", "limits.min_rate": "1024", "limits.connections": "10000",
		"limits.connections_per_address": "4096", "limits.logins_per_user": "16", "limits.uploads_per_user": "256",
		"limits.requests_per_user": "0", "limits.passwords_waiting": "256",
		"directories[0].ldap.timeout": "5s", "directories[0].ldap.users.base": "x", "directories[0].ldap.start_tls": "false",
		"directories[0].ldap.cache.fresh_for": "1m0s", "directories[0].ldap.cache.stale_for": "10m0s",
		"directories[0].ldap.cache.negative_for": "15s", "directories[0].ldap.cache.password_for": "30s",
		"directories[0].ldap.cache.wrong_password_for": "1m0s",
	} {
		if got[key] != want {
			t.Errorf("%s: got %q, want %q", key, got[key], want)
		}
	}
}

// TestDecode reads values in the ways that YAML has to write them.
func TestDecode(t *testing.T) {
	for _, test := range []struct {
		name, text string
		get        func(Config) any
		want       any
	}{
		{"plain text", "upstream: {username: a}", func(c Config) any { return c.Upstream.Username }, "a"},
		{"quoted", `upstream: {username: "a\tb"}`, func(c Config) any { return c.Upstream.Username }, "a\tb"},
		{"block", "upstream:\n  username: |-\n    a b\n", func(c Config) any { return c.Upstream.Username }, "a b"},
		{"empty text", `admin: {address: ""}`, func(c Config) any { return c.Admin.Address }, ""},
		{"CRLF", "upstream:\r\n  username: a\r\nlisten:\r\n  basic: true\r\n", func(c Config) any { return c.Listen.Basic }, true},
		{"comments", "# x\nlisten: # y\n  # z\n  basic: true # w\n", func(c Config) any { return c.Listen.Basic }, true},
		{"document marks", "---\nlisten: {basic: true}\n...\n", func(c Config) any { return c.Listen.Basic }, true},
		{"zero", "shutdown: {delay: 0}", func(c Config) any { return c.Shutdown.Delay }, time.Duration(0)},
		{"version as a number", "listen: {tls: {min_version: 1.3}}", func(c Config) any { return c.Listen.TLS.MinVersion }, listener.TLSVersion(tls.VersionTLS13)},
		{"version as text", `listen: {tls: {min_version: "1.3"}}`, func(c Config) any { return c.Listen.TLS.MinVersion }, listener.TLSVersion(tls.VersionTLS13)},
		{"flush list", "policy:\n- to: [a]\n- to: [b]\n", func(c Config) any { return c.Policy[1].To[0] }, "b"},
		{"empty section", "throttle:\n", func(c Config) any { return c.Throttle.Failures }, 5},
		{"empty list", "policy:\n", func(c Config) any { return len(c.Policy) }, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg, r := decode(test.text)
			if len(r.findings) > 0 {
				t.Fatal(r.findings)
			}
			if d := cmp.Diff(test.want, test.get(cfg)); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestPlaces finds the lines that rules and faults are named by.
func TestPlaces(t *testing.T) {
	_, r := decode("policy:\n  -\n    allow: [pull]\n  - allow:\n      - pull\n  - {deny: [push]}\n")
	for key, want := range map[string]Place{
		"policy[0]": {2, 3}, "policy[0].allow": {3, 5}, "policy[1]": {4, 3}, "policy[1].allow[0]": {5, 7}, "policy[2]": {6, 3},
		"policy[2].tags": {6, 3}, "policy[7].tags": {1, 1}, "tokens": {1, 1},
	} {
		if got := r.find(key); got != want {
			t.Errorf("%s: got %v, want %v", key, got, want)
		}
	}
}

// TestAll shows that one run finds every fault.
func TestAll(t *testing.T) {
	_, r := decode("listen: {basic: 1, address: [], what: x}\ntokens: {lifetime: x}\nlisten: {}\n")
	var lines []string
	for _, f := range r.Faults() {
		lines = append(lines, strings.SplitAfterN(f.String(), ": ", 2)[0])
	}
	want := []string{"gatehouse.yaml:1:17: ", "gatehouse.yaml:1:29: ", "gatehouse.yaml:1:33: ", "gatehouse.yaml:2:20: ", "gatehouse.yaml:3:1: "}
	if d := cmp.Diff(want, lines); d != "" {
		t.Error(d)
	}
}

// TestDeep keeps the parser's stack safe.
func TestDeep(t *testing.T) {
	for name, text := range map[string]string{
		"flow":   strings.Repeat("[", 1<<20),
		"maps":   strings.Repeat("{a: ", 1<<20),
		"dashes": strings.Repeat("- ", 1<<20),
		"keys":   strings.Repeat("? ", 1<<20),
		"indent": strings.Repeat(" ", 1<<20) + "a: b",
		"large":  strings.Repeat("#", maxConfigBytes+1),
	} {
		began := time.Now()
		if _, r := decode(text); len(r.findings) != 1 {
			t.Errorf("%s: %d faults", name, len(r.findings))
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s took %s", name, took)
		}
	}
}

func FuzzConfig(f *testing.F) {
	files, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, "../../../deploy/gatehouse.yaml") {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		l := newLoaded(filepath.Join(t.TempDir(), "gatehouse.yaml"))
		l.parse([]byte(text))
		for _, finding := range l.findings {
			if !finding.Place.known() || finding.Text == "" || strings.ContainsAny(finding.String(), "\n\x00\x1b") {
				t.Fatalf("%q", finding.String())
			}
		}
	})
}

// section is one of every kind that the decoder knows beside the plain ones.
type section struct {
	embedded
	Version listener.TLSVersion `yaml:"version"`
	File    authn.File          `yaml:"file"`
	Filled  string              `yaml:"filled,nonempty"`
	Ours    int                 `yaml:"-"`
	Hidden  int
}

type embedded struct {
	Number int `yaml:"number" min:"1" max:"9"`
}

// Defaults are promoted to the section.
func (e *embedded) Defaults() { e.Number = 5 }

// TestFields reads keys of embedded structs, types with a text form of their own, and
// files; what has no key cannot be written.
func TestFields(t *testing.T) {
	for _, test := range []struct {
		text  string
		want  section
		fault string
	}{
		{"{version: 1.3, file: a}", section{Version: tls.VersionTLS13, File: authn.File{Name: "a"}, embedded: embedded{5}}, ""},
		{`{version: "1.2", number: 3}`, section{Version: tls.VersionTLS12, embedded: embedded{3}}, ""},
		{"{version: true}", section{embedded: embedded{5}}, `version: must be "1.2" or "1.3", not "true"`},
		{"{version: [1.2]}", section{embedded: embedded{5}}, "version: must be a text, not a list"},
		{"{file: 5}", section{embedded: embedded{5}}, `file: must be a text, not a number; put it in quotes: "5"`},
		{`{filled: ""}`, section{embedded: embedded{5}}, "filled: is empty; give a value or leave the key out"},
		{"{Ours: 1}", section{embedded: embedded{5}}, `unknown key "Ours"; allowed here: file, filled, number, version`},
		{"{Hidden: 1}", section{embedded: embedded{5}}, `unknown key "Hidden"; allowed here: file, filled, number, version`},
	} {
		r, got := &Report{}, section{}
		d := &decoder{report: r, places: map[string]Place{}}
		root, at, err := parseYAML([]byte(test.text))
		if err != nil {
			t.Fatal(err)
		}
		into := reflect.ValueOf(&got).Elem()
		setDefaults(into)
		d.value(field{value: into}, at, root)
		fault := ""
		for _, f := range r.Faults() {
			_, fault, _ = strings.Cut(f.String(), " ")
		}
		if d := cmp.Diff(test.want, got, cmp.AllowUnexported(section{})); d != "" || fault != test.fault {
			t.Errorf("%s: %q\n%s", test.text, fault, d)
		}
	}
}

// TestTags finds a key whose tags the checks could not read, or that stands twice.
func TestTags(t *testing.T) {
	var look func(at string, typ reflect.Type)
	look = func(at string, typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if scalar(typ) {
			return
		}
		section := reflect.New(typ).Elem()
		seen := map[string]bool{}
		for f := range fields(section) {
			key := join(at, f.key)
			if seen[f.key] {
				t.Errorf("%s stands twice", key)
			}
			seen[f.key] = true
			for _, name := range []string{"min", "max"} {
				text := f.tag.Get(name)
				_, number := strconv.Atoi(text)
				_, timed := time.ParseDuration(text)
				problems := map[reflect.Type]error{durationType: timed, sizeType: new(content.Size).UnmarshalText([]byte(text))}
				problem, special := problems[f.value.Type()]
				if !special {
					problem = number
				}
				if text != "" && problem != nil {
					t.Errorf("%s: %s %q is no %s", key, name, text, f.value.Type())
				}
			}
			if other := f.tag.Get("with"); other != "" {
				if _, ok := fieldOf(section, other); !ok {
					t.Errorf("%s goes with %s, which is not there", key, other)
				}
			}
			look(key, f.value.Type())
		}
	}
	look("", reflect.TypeFor[Config]())
}

// TestFieldsOfEach: keys are found once for a type, and their values are each section's.
func TestFieldsOfEach(t *testing.T) {
	type outer struct {
		Config `yaml:"-"`
		Store  string `yaml:"store"`
		hidden string
	}
	one, two := outer{Store: "one"}, outer{Store: "two", hidden: "x"}
	two.Log.Level = "debug"
	for range 2 {
		for want, section := range map[string]*outer{"one": &one, "two": &two} {
			v := reflect.ValueOf(section).Elem()
			if f, ok := fieldOf(v, "store"); !ok || f.value.String() != want || f.owner != v.Type() || f.name != "Store" {
				t.Errorf("store: %+v, %v", f, ok)
			}
			if f, ok := fieldOf(v, "log"); !ok || f.value.Addr().Interface() != &section.Log || f.owner != reflect.TypeFor[Config]() {
				t.Errorf("log of the embedded section: %+v, %v", f, ok)
			}
			if got, want := keysOf(v), keysOf(reflect.ValueOf(&Config{}).Elem()); !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		}
	}
	if f, ok := fieldOf(reflect.ValueOf(two), ""); ok {
		t.Errorf("no key is %+v", f)
	}
}
