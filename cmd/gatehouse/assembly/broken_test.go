package assembly

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// soundMachines is a config with each key of machines that an issuer or the config itself
// vouches for.
const soundMachines = `upstream: {url: "http://127.0.0.1:5001"}
listen: {public_urls: ["https://registry.example.com"]}
throttle: {tokens_per_source: 50}
directories:
  - name: robots
    machines:
      - name: jenkins
        groups: [ci]
        networks: [10.0.0.0/8]
        tokens:
          - hash: "sha256:2f1e0f4688cb67761e0c89a4fd3f2270ade51bd4a0cab5a9502d8e5c3cc406c2"
            expires: 2099-03-01
            note: ""
  - name: github
    oidc:
      issuer: https://token.actions.githubusercontent.com
      audiences: []
      ca_file: ""
      jwks_file: ""
      algorithms: [RS256, ES256]
      max_lifetime: 1h
      session: 1h
      keys_stale_for: 24h
      timeout: 5s
      workloads:
        - match:
            repository_owner_id: "46576199"
            repository: octo-org/*
            ref: [refs/heads/main, "refs/tags/v*"]
          name: "{repository}"
          groups: [ci]
          record: [run_id, actor]
  - name: cluster
    oidc:
      issuer: https://kubernetes.default.svc.cluster.local
      audiences: [registry.example.com]
      jwks_file: cluster-jwks.json
      workloads:
        - match: {"/kubernetes.io/namespace": prod, sub: "system:serviceaccount:prod:*"}
          name: "{/kubernetes.io/namespace}/{/kubernetes.io/serviceaccount/name}"
policy:
  - {allow: [push], repositories: ["ci/{machine}/**"], to: ["machine:github/octo-org/**", machines]}
`

const someKeys = `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`

// prepared reads a text as a config.
func prepared(t *testing.T, text string) *Snapshot {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"c.yaml": text, "cluster-jwks.json": someKeys, "junk.json": "{}"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := Prepare(filepath.Join(dir, "c.yaml"), &Shared{Logger: slog.New(slog.DiscardHandler)}, nil)
	t.Cleanup(s.Release)
	return s
}

// faultsOf are the faults of a config, as people read them.
func faultsOf(s *Snapshot) (faults []string) {
	for _, f := range s.Loaded.Faults() {
		faults = append(faults, f.String())
	}
	return faults
}

// TestBrokenMachines: each is refused with the line and column of what is wrong, and
// with nothing else.
func TestBrokenMachines(t *testing.T) {
	if s := prepared(t, soundMachines); len(s.Loaded.Faults()) > 0 || len(s.Loaded.Warnings()) > 2 { // the key made at start, plain HTTP
		t.Fatal(s.Loaded.Faults(), s.Loaded.Warnings())
	}
	for _, c := range []struct{ from, to, want string }{
		{"name: jenkins", "name: Jenkins", `7:9: directories[0].machines[0].name: "Jenkins" is no name of a machine`},
		{"name: jenkins", `name: ""`, `7:9: directories[0].machines[0].name: is required`},
		{"name: jenkins", "name: a//b", `7:9: directories[0].machines[0].name: "a//b" is no name`},
		{"groups: [ci]\n        networks", "groups: [\"\"]\n        networks", `8:18: directories[0].machines[0].groups[0]: an empty group name`},
		{"groups: [ci]\n        networks", "groups: ci\n        networks", `8:17: directories[0].machines[0].groups: must be a list`},
		{"10.0.0.0/8", "10.0.0.0/99", `9:20: directories[0].machines[0].networks[0]: "10.0.0.0/99" is no network`},
		{"sha256:2f1e", "sha512:2f1e", `11:13: directories[0].machines[0].tokens[0].hash: is no hash of a token`},
		{"06c2\"", "06c\"", `11:13: directories[0].machines[0].tokens[0].hash: is no hash of a token`},
		{`"sha256:2f1e0f4688cb67761e0c89a4fd3f2270ade51bd4a0cab5a9502d8e5c3cc406c2"`, "gthm_x", `11:13: directories[0].machines[0].tokens[0].hash: is no hash of a token`},
		{"2099-03-01", "2020-03-01", `10:9: directories[0].machines[0].tokens: the last token ended`},
		{"2099-03-01", "90d", `12:22: directories[0].machines[0].tokens[0].expires: must be a day`},
		{"2099-03-01", "2099-02-30", `12:22: directories[0].machines[0].tokens[0].expires: must be a day`},
		{`note: ""`, "notes: x", `13:13: unknown key "notes" in directories[0].machines[0].tokens[0]`},
		{"tokens_per_source: 50", "tokens_per_source: -1", `3:12: throttle.tokens_per_source: must be at least 0`},
		{"tokens_per_source: 50", "tokens_per_source: many", `3:31: throttle.tokens_per_source: must be a whole number`},
		{"audiences: []", "audience: x", `17:7: unknown key "audience" in directories[1].oidc`},
		{"https://token.actions.githubusercontent.com", `""`, `16:7: directories[1].oidc.issuer: is required`},
		{"https://token.actions.githubusercontent.com", "http://issuer.example.com", `16:7: directories[1].oidc.issuer: "http://issuer.example.com": must be https`},
		{"https://token.actions.githubusercontent.com", "issuer.example.com", `16:7: directories[1].oidc.issuer: "issuer.example.com" is no URL`},
		{"https://token.actions.githubusercontent.com", "https://a/?b", `16:7: directories[1].oidc.issuer: "https://a/?b" has more than`},
		{"https://token.actions.githubusercontent.com", "[https://a]", `16:15: directories[1].oidc.issuer: must be a text, not a list`},
		{"https://token.actions.githubusercontent.com", "https://kubernetes.default.svc.cluster.local", `35:7: directories[2].oidc.issuer: is the issuer of directories[1] too`},
		{`["https://registry.example.com"]`, "[]", `17:7: directories[1].oidc.audiences: required where listen.public_urls is empty`},
		{"audiences: []", `audiences: [""]`, `17:19: directories[1].oidc.audiences[0]: "" is no audience`},
		{"audiences: []", "audiences: x", `17:18: directories[1].oidc.audiences: must be a list`},
		{`ca_file: ""`, "ca_file: none.pem", `18:7: directories[1].oidc.ca_file: none.pem cannot be read`},
		{`ca_file: ""`, "ca_file: junk.json", `18:7: directories[1].oidc.ca_file: junk.json holds no PEM certificate`},
		{`jwks_file: ""`, "jwks_file: none.json", `19:7: directories[1].oidc.jwks_file: none.json cannot be read`},
		{`jwks_file: ""`, "jwks_file: junk.json", `19:7: directories[1].oidc.jwks_file: junk.json has no key that may sign`},
		{`jwks_file: ""`, "jwks_file: c.yaml", `19:7: directories[1].oidc.jwks_file: c.yaml is no key set`},
		{"[RS256, ES256]", "[RS256, HS256]", `20:27: directories[1].oidc.algorithms[1]: "HS256" is none of`},
		{"[RS256, ES256]", "[none]", `20:20: directories[1].oidc.algorithms[0]: "none" is none of`},
		{"[RS256, ES256]", "[RS256, RS256]", `20:27: directories[1].oidc.algorithms[1]: RS256 stands twice`},
		{"max_lifetime: 1h", "max_lifetime: 59s", `21:7: directories[1].oidc.max_lifetime: must be from 1m to 24h, not 59s`},
		{"max_lifetime: 1h", "max_lifetime: 25h", `21:7: directories[1].oidc.max_lifetime: must be from 1m to 24h, not 25h`},
		{"max_lifetime: 1h", "max_lifetime: 3600", `21:21: directories[1].oidc.max_lifetime: must be a time with its unit`},
		{"session: 1h", "session: 25h", `22:7: directories[1].oidc.session: must be from 0s to 24h, not 25h`},
		{"session: 1h", "session: -1h", `22:16: directories[1].oidc.session: must not be negative`},
		{"keys_stale_for: 24h", "keys_stale_for: long", `23:23: directories[1].oidc.keys_stale_for: must be a time`},
		{"timeout: 5s", "timeout: 0s", `24:7: directories[1].oidc.timeout: must be from 100ms to 1m, not 0s`},
		{"timeout: 5s", "timeout: 2m", `24:7: directories[1].oidc.timeout: must be from 100ms to 1m, not 2m`},
		{"            repository_owner_id: \"46576199\"\n            repository: octo-org/*\n            ref: [refs/heads/main, \"refs/tags/v*\"]\n", "            {}\n", `26:11: directories[1].oidc.workloads[0].match: required`},
		{"        - match:\n            repository_owner_id: \"46576199\"\n            repository: octo-org/*\n            ref: [refs/heads/main, \"refs/tags/v*\"]\n          name", "        - name", `26:9: directories[1].oidc.workloads[0].match: required`},
		{"            repository_owner_id: \"46576199\"\n            repository: octo-org/*\n            ref: [refs/heads/main, \"refs/tags/v*\"]\n", "", `26:11: directories[1].oidc.workloads[0].match: required`},
		{"repository: octo-org/*", `repository: ""`, `28:13: directories[1].oidc.workloads[0].match.repository: an empty pattern`},
		{"repository: octo-org/*", `repository: []`, `28:13: directories[1].oidc.workloads[0].match.repository: an empty list`},
		{"repository: octo-org/*", "repository:", `28:13: directories[1].oidc.workloads[0].match.repository: must be a pattern, or a list of them, not nothing`},
		{"repository: octo-org/*", "repository: {a: b}", `28:25: directories[1].oidc.workloads[0].match.repository: must be a pattern, or a list of them, not a section`},
		{"repository: octo-org/*", "ref: x", `29:13: directories[1].oidc.workloads[0].match.ref: stands twice (first in line 28)`},
		{"[refs/heads/main, \"refs/tags/v*\"]", "[main, [a]]", `29:25: directories[1].oidc.workloads[0].match.ref[1]: must be a pattern, or a list of them, not a list`},
		{"[refs/heads/main, \"refs/tags/v*\"]", "[main, \"\"]", `29:25: directories[1].oidc.workloads[0].match.ref[1]: an empty pattern`},
		{"repository: octo-org/*", "/a~: x", `28:13: directories[1].oidc.workloads[0].match./a~: "/a~" is no JSON pointer`},
		{"repository: octo-org/*", `"": x`, `28:13: directories[1].oidc.workloads[0].match.: an empty name of a claim`},
		{"repository_owner_id: \"46576199\"\n            repository: octo-org/*", "actor_id: 5", `26:11: directories[1].oidc.workloads[0].match: GitHub signs for everybody`},
		{"repository_owner_id: \"46576199\"\n            repository: octo-org/*", "repository: octo-org*", `26:11: directories[1].oidc.workloads[0].match: GitHub signs for everybody`},
		{"repository_owner_id: \"46576199\"\n            repository: octo-org/*", `repository: [octo-org/*, "*/app"]`, `26:11: directories[1].oidc.workloads[0].match: GitHub signs for everybody`},
		{`name: "{repository}"`, `name: ""`, `30:11: directories[1].oidc.workloads[0].name: is required`},
		{`name: "{repository}"`, `name: ci`, `30:11: directories[1].oidc.workloads[0].name: has no {claim} in it`},
		{`name: "{repository}"`, `name: "{repository"`, `30:11: directories[1].oidc.workloads[0].name: a { without }`},
		{`name: "{repository}"`, `name: "{}"`, `30:11: directories[1].oidc.workloads[0].name: an empty name of a claim`},
		{`name: "{repository}"`, `name: "{repository} x"`, `30:11: directories[1].oidc.workloads[0].name: "{repository} x" comes out as no name`},
		{`name: "{repository}"`, `name: "../{repository}"`, `30:11: directories[1].oidc.workloads[0].name: "../{repository}" comes out as no name`},
		{"groups: [ci]\n          record", "groups: [\" \"]\n          record", `31:20: directories[1].oidc.workloads[0].groups[0]: an empty group name`},
		{"groups: [ci]\n          record", "groups: [\"{a\"]\n          record", `31:20: directories[1].oidc.workloads[0].groups[0]: a { without }`},
		{"[run_id, actor]", "[a, b, c, d, e, f]", `32:11: directories[1].oidc.workloads[0].record: 6 claims; 5 at most`},
		{"[run_id, actor]", "[a, a]", `32:23: directories[1].oidc.workloads[0].record[1]: "a" stands twice`},
		{"[run_id, actor]", "[5]", `32:20: directories[1].oidc.workloads[0].record[0]: must be a text, not a number`},
		{"cluster-jwks.json\n", "cluster-jwks.json\n      static: []\n", `38:7: unknown key "static" in directories[2].oidc`},
		{"  - name: cluster\n", "  - name: cluster\n    machines: []\n", `33:3: directories[2]: has machines and oidc; make two directories of it`},
		{"  - name: cluster\n    oidc:\n", "  - name: cluster\n    oidc:\n  - name: other\n    oidc:\n", `34:5: directories[2].oidc: is empty`},
		{"machine:github/octo-org/**", "machine:nowhere/x", `42:61: policy[0].to[0]: there is no directory "nowhere"`},
		{"machine:github/octo-org/**", "machine:github", `42:61: policy[0].to[0]: "github": write machine:DIRECTORY/NAME`},
	} {
		if strings.Count(soundMachines, c.from) == 0 {
			t.Errorf("%q does not stand in the config", c.from)
			continue
		}
		faults := faultsOf(prepared(t, strings.Replace(soundMachines, c.from, c.to, 1)))
		if len(faults) != 1 || !strings.Contains(faults[0], "c.yaml:"+c.want) {
			t.Errorf("%s -> %s:\n%s\nwant %s", c.from, c.to, strings.Join(faults, "\n"), c.want)
		}
	}
}

// TestUnreadEnd: an end that cannot be read is a fault, and not one that is never besides.
func TestUnreadEnd(t *testing.T) {
	for _, text := range []string{"Never", "2099-1-1", "90d"} {
		s := prepared(t, strings.Replace(soundMachines, "2099-03-01", text, 1))
		if faults := faultsOf(s); len(faults) != 1 || !strings.Contains(faults[0], "must be a day such as") || strings.Contains(fmt.Sprint(s.Loaded.Warnings()), "never ends") {
			t.Errorf("%s: %s, %v", text, faults, s.Loaded.Warnings())
		}
	}
}

// TestMachineWarnings: what works, and its owner should know.
func TestMachineWarnings(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"2099-03-01", "never", "12:13: directories[0].machines[0].tokens[0].expires: the token never ends"},
		{"repository_owner_id: \"46576199\"\n            repository: octo-org/*", "repository: octo-org/*", "27:13: directories[1].oidc.workloads[0].match.repository: is a name"},
		{"repository: octo-org/*", "repository: octo-org*", `28:13: directories[1].oidc.workloads[0].match.repository: "octo-org*" fits everything that begins so`},
		{"[refs/heads/main, \"refs/tags/v*\"]", "[main, \"release*\"]", `29:25: directories[1].oidc.workloads[0].match.ref[1]: "release*" fits`},
		{"to: [", "to: [authenticated, ", "authenticated"},
	} {
		s := prepared(t, strings.Replace(soundMachines, c.from, c.to, 1))
		all := fmt.Sprint(s.Loaded.Warnings())
		if len(s.Loaded.Faults()) > 0 || !strings.Contains(all, c.want) {
			t.Errorf("%s -> %s: %s %v; want %s", c.from, c.to, all, s.Loaded.Faults(), c.want)
		}
	}
}
