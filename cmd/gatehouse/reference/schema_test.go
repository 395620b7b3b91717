package reference

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"gatehouse/cmd/gatehouse/config"
)

// compiled is the schema as a validator reads it.
func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("gatehouse.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("gatehouse.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// judged is what the schema says of a YAML text.
func judged(schema *jsonschema.Schema, text []byte) error {
	var value any
	if err := yaml.Unmarshal(text, &value); err != nil {
		return err
	}
	asJSON, err := json.Marshal(value)
	if err != nil {
		return err
	}
	again, err := jsonschema.UnmarshalJSON(strings.NewReader(string(asJSON)))
	if err != nil {
		return err
	}
	return schema.Validate(again)
}

// TestExamples: every config that we hand out passes.
func TestExamples(t *testing.T) {
	schema := compiled(t)
	files := []string{filepath.Join(root, "deploy/gatehouse.yaml"), filepath.Join(root, "deploy/gatehouse.example.custom")}
	more, err := filepath.Glob(filepath.Join(root, "deploy/examples/*.yaml"))
	if err != nil || len(more) < 5 {
		t.Fatalf("%v, %v", more, err)
	}
	more = slices.DeleteFunc(more, func(file string) bool { return filepath.Base(file) == "policy_test.yaml" })
	for _, file := range append(files, more...) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := judged(schema, text); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// beyond are broken configs that a schema cannot see through: files that are not there,
// grammars of values, ranges of times, names that occur elsewhere, and YAML that a JSON
// value does not show.
var beyond = []string{"anchor", "audit-folder", "control", "directory-name", "directory-twice", "doubled-key", "doubled-section", "key-file",
	"ldap-canary", "ldap-filter-login", "ldap-no-filter", "ldap-plaintext", "lifetime", "listen-address", "machine-ended", "machine-hash", "machine-hash-twice", "machine-name", "machine-network", "machine-rule", "password-file", "public-url",
	"rule-directory", "rule-pull-tags", "static-hash", "tab", "tag", "tls-missing-file", "tls-one-file", "trusted-proxies", "two-documents", "upstream-idle", "upstream-url", "upstreams-empty", "upstreams-unreachable", "username-alone"}

// TestBroken: of the configs that check refuses, the schema refuses those that it can.
func TestBroken(t *testing.T) {
	schema := compiled(t)
	files, err := filepath.Glob("../config/testdata/broken/*.yaml")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		if err := judged(schema, text); err == nil && !slices.Contains(beyond, name) {
			t.Errorf("%s passes", name)
		}
	}
}

const sound = "upstream: {url: \"http://127.0.0.1:5001\"}\n"

// TestSchemaAndDecoder: what the schema refuses the decoder refuses too, and the other
// way round, for each way of writing a value.
func TestSchemaAndDecoder(t *testing.T) {
	schema := compiled(t)
	for text, want := range map[string]bool{
		"":                                   true,
		"throttle:\n":                        true,
		"policy:\n":                          true,
		"policy: []\n":                       true,
		"listen: {tls: }\n":                  false,
		"tokens: {lifetime: 1h30m}\n":        true,
		"tokens: {lifetime: 900}\n":          false,
		"tokens: {refresh_lifetime: 0}\n":    true,
		"tokens: {lifetime: -5m}\n":          false,
		"tokens: {lifetime: 1.5h}\n":         true,
		"tokens: {service: \"\"}\n":          false,
		"tokens: {colour: red}\n":            false,
		"throttle: {failures: 5.5}\n":        false,
		"throttle: {failures: -1}\n":         false,
		"throttle: {failures: 3000000000}\n": false,
		"throttle: {failures: \"5\"}\n":      false,
		"limits: {http2_streams: 101}\n":     false,
		"log: {level: loud}\n":               false,
		"log: {level: warn}\n":               true,
		"listen: {basic: \"true\"}\n":        false,
		"listen: {public_urls: [5]}\n":       false,
		"admin: {address: \"\"}\n":           true,
		"admin: {address: }\n":               false,
		"policy: [{allow: [pull], repositories: [\"**\"], to: [everyone]}]\n":               true,
		"policy: [{allow: [pull], deny: [push], repositories: [\"**\"], to: [everyone]}]\n": false,
		"policy: [{allow: [read], repositories: [\"**\"], to: [everyone]}]\n":               false,
		"policy: [{allow: [pull], repositories: [], to: [everyone]}]\n":                     false,
		"policy: [{repositories: [\"**\"], to: [everyone]}]\n":                              false,
		"directories: [{name: a}]\n":                                                        false,
		"tokens: {revoked: [{issued_before: 2026-11-26T09:00:00+01:00}]}\n":                 true,
		"tokens: {revoked: [{issued_before: 2026-11-26}]}\n":                                false,
		"tokens: {revoked: [{token: \"\"}]}\n":                                              false,
	} {
		if err := judged(schema, []byte(sound+text)); (err == nil) != want {
			t.Errorf("%s: schema: %v, want %v", text, err, want)
		}
	}
	for text, want := range map[string]bool{
		"username: u": false, "username: u, password_file: p": true, "username: \"\"": true, "password_file: \"\", username: \"\"": true, "username: u, password_file: \"\"": false,
		"blob_mount: auto": true, "blob_mount: true": true, "blob_mount: \"false\"": true, "blob_mount: maybe": false, "url: \"\"": false,
	} {
		if !strings.Contains(text, "url:") {
			text = "url: \"http://a\", " + text
		}
		if err := judged(schema, []byte("upstream: {"+text+"}")); (err == nil) != want {
			t.Errorf("%s: schema: %v, want %v", text, err, want)
		}
	}
	for text, want := range map[string]bool{"": false, "upstream: \n": false, "upstream: {}\n": false, "[]": false} {
		if err := judged(schema, []byte(text)); (err == nil) != want {
			t.Errorf("%q: schema: %v, want %v", text, err, want)
		}
	}
}

// TestValues: the words that a field names are those that the loader takes.
func TestValues(t *testing.T) {
	for path, text := range map[string]string{
		"log.level": "log: {level: %}\n", "listen.tls.min_version": "listen: {tls: {min_version: %}}\n",
	} {
		key := keyOf(t, path)
		for _, word := range append(slices.Clone(key.Values), "nonsense") {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "c.yaml"), sound+strings.Replace(text, "%", word, 1))
			if got := config.Load(filepath.Join(dir, "c.yaml")).Faulty(path); got != (word == "nonsense") {
				t.Errorf("%s: %s is a fault: %v", path, word, got)
			}
		}
	}
}

// TestKeys holds what single keys are described as.
func TestKeys(t *testing.T) {
	for path, want := range map[string]string{
		"admin.address":                         "text 127.0.0.1:9180 ",
		"tokens.lifetime":                       "time 15m 60s to 1h",
		"tokens.upload_grace":                   "time 6h 0s or more",
		"shutdown.timeout":                      "time 5m 0s or more",
		"limits.requests":                       "number 10000 0 to 16777216",
		"limits.header_bytes":                   "number 32768 20480 to 1048576",
		"upstream.blob_mount":                   "word auto `auto`, `true`, `false`",
		"listen.tls.min_version":                "word 1.2 `1.2`, `1.3`",
		"directories[].ldap.users.base":         "text  required",
		"directories[].ldap.cache.stale_for":    "time 10m 0s or more",
		"directories[].ldap.bind_password_file": "secret file \"\" with `bind_dn`",
		"policy[].allow[]":                      "list of texts [] `pull`, `push`, `create`, `overwrite`, `delete`, `*`; either this or `deny`",
		"policy[].to[]":                         "list of texts  required",
	} {
		k := keyOf(t, path)
		if got := typeOf(k) + " " + defaultOf(k) + " " + rangeOf(k); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

func keyOf(t *testing.T, path string) config.Key {
	t.Helper()
	for _, k := range config.Flat(config.Keys()) {
		if k.Path == path {
			return k
		}
	}
	t.Fatalf("there is no key %s", path)
	return config.Key{}
}
