package oidc

import (
	"fmt"
	"strings"
	"testing"

	"gatehouse/authn"
	"gatehouse/authn/workload"
)

// TestConfig: each fault and warning names its key.
func TestConfig(t *testing.T) {
	const issuer = "https://issuer.example.com"
	match := func(c *Config, pairs ...string) {
		c.Workloads[0].Match = nil
		for i := 0; i < len(pairs); i += 2 {
			c.Workloads[0].Match = append(c.Workloads[0].Match, workload.Condition{Claim: pairs[i], Any: strings.Split(pairs[i+1], " ")})
		}
	}
	at := func(issuer string, pairs ...string) func(*Config) {
		return func(c *Config) { c.Issuer = issuer; match(c, pairs...) }
	}
	const github, gitlab = "https://token.actions.githubusercontent.com", "https://gitlab.com"
	const open = "workloads[0].match: "
	for _, c := range []struct {
		name    string
		change  func(*Config)
		want    string // the finding; empty: none
		warning bool
	}{
		{"good", func(*Config) {}, "", false},
		{"http on loopback", func(c *Config) { c.Issuer = "http://127.0.0.1:8080/realms/x" }, "", false},
		{"http on localhost", func(c *Config) { c.Issuer = "http://localhost" }, "", false},
		{"http on ::1", func(c *Config) { c.Issuer = "http://[::1]:1" }, "", false},
		{"http", func(c *Config) { c.Issuer = "http://issuer.example.com" }, "issuer: ", false},
		{"http like loopback", func(c *Config) { c.Issuer = "http://127.0.0.1.example.com" }, "issuer: ", false},
		{"no URL", func(c *Config) { c.Issuer = "issuer.example.com" }, "issuer: ", false},
		{"another scheme", func(c *Config) { c.Issuer = "ftp://issuer.example.com" }, "issuer: ", false},
		{"no host", func(c *Config) { c.Issuer = "https:///x" }, "issuer: ", false},
		{"a query", func(c *Config) { c.Issuer += "?x" }, "issuer: ", false},
		{"a fragment", func(c *Config) { c.Issuer += "#" }, "issuer: ", false},
		{"a user", func(c *Config) { c.Issuer = "https://a@issuer.example.com" }, "issuer: ", false},
		{"no audience", func(c *Config) { c.Audiences = nil }, "audiences: required where listen.public_urls is empty", false},
		{"an empty audience", func(c *Config) { c.Audiences = []string{"a", ""} }, "audiences[1]: ", false},
		{"blanks around an audience", func(c *Config) { c.Audiences = []string{" a"} }, "audiences[0]: ", false},
		{"a symmetric algorithm", func(c *Config) { c.Algorithms = []string{"RS256", "HS256"} }, `algorithms[1]: "HS256" is none of`, false},
		{"none", func(c *Config) { c.Algorithms = []string{"none"} }, "algorithms[0]: ", false},
		{"an algorithm twice", func(c *Config) { c.Algorithms = []string{"RS256", "RS256"} }, "algorithms[1]: RS256 stands twice", false},
		{"no roots", func(c *Config) { c.CAFile = authn.File{Name: "ca.pem", Data: []byte("x")} }, "ca_file: ca.pem holds no PEM certificate", false},
		{"no keys", func(c *Config) { c.JWKSFile = authn.File{Name: "k.json", Data: []byte("{}")} }, "jwks_file: k.json has no key that may sign", false},
		{"no key set", func(c *Config) { c.JWKSFile = authn.File{Name: "k.json", Data: []byte("x")} }, "jwks_file: k.json is no key set", false},
		{"no workload", func(c *Config) { c.Workloads = nil }, "workloads: required", false},
		{"an empty match", func(c *Config) { match(c) }, "workloads[0].match: required", false},
		{"GitHub, an owner's id", at(github, "repository_owner_id", "46576199"), "", false},
		{"GitHub, a repository's id", at(github, "repository_id", "1 2"), "", false},
		{"GitHub, the whole of it", at(github, "repository_owner_id", "46576199", "repository", "octo-org/*", "ref", "**"), "", false},
		{"GitHub, any", at(github, "ref", "refs/heads/main"), open + "GitHub signs for everybody", false},
		{"GitHub, any repository", at(github, "repository", "*/app"), open, false},
		{"GitHub, half an owner", at(github, "repository", "octo-org*"), open, false},
		{"GitHub, one of two", at(github, "repository", "octo-org/* **"), open, false},
		{"GitHub, half an id", at(github, "repository_owner_id", "4657*"), open, false},
		{"GitHub, sub", at(github, "sub", "repo:octo-org/*:ref:refs/heads/main", "repository_id", "1"), "", false},
		{"GitHub, sub of any", at(github, "sub", "repo:*/app:**"), open, false},
		{"GitHub, sub of half an owner", at(github, "sub", "repo:octo-org*"), open, false},
		{"GitHub, another claim", at(github, "sub", "environment:prod"), open, false},
		{"GitHub, a workflow that anybody may call", at(github, "job_workflow_ref", "octo-org/ci/.github/workflows/x.yml@refs/heads/main"), open, false},
		{"GitHub by names", at(github, "repository", "octo-org/app"), "workloads[0].match.repository: is a name", true},
		{"GitHub by sub", at(github, "sub", "repo:octo-org/app:**"), "workloads[0].match.sub: is a name", true},
		{"gitlab.com, any", at(gitlab, "ref", "main"), open + "gitlab.com signs for everybody", false},
		{"gitlab.com, its ways", at(gitlab, "ref", "main"), open + "gitlab.com signs for everybody, and this takes tokens of others: match one of namespace_id, namespace_path, project_id by a text without *, or namespace_path through OWNER/, or project_path through OWNER/, or sub through project_path:OWNER/\n", false},
		{"gitlab.com, a group", at(gitlab, "project_path", "group/**"), "workloads[0].match.project_path: is a name", true},
		{"gitlab.com, a group and its id", at(gitlab, "project_path", "group/**", "namespace_id", "7"), "", false},
		{"gitlab.com, a namespace", at(gitlab, "namespace_path", "group", "project_id", "7"), "", false},
		{"gitlab.com, sub", at(gitlab, "sub", "project_path:group/*:**", "project_id", "7"), "", false},
		{"gitlab.com, a trailing dot", at("https://gitlab.com./", "ref", "main"), open, false},
		{"a GitLab of our own", at("https://gitlab.example.com", "ref", "main"), "", false},
		{"a GitLab of our own, by names", at("https://gitlab.example.com", "project_path", "a/b"), "workloads[0].match.project_path: is a name", true},
		{"Terraform, any", at("https://app.terraform.io", "sub", "**"), open, false},
		{"Terraform", at("https://app.terraform.io", "sub", "organization:acme:**", "terraform_organization_id", "org-1"), "", false},
		{"Terraform, half an organization", at("https://app.terraform.io", "sub", "organization:ac*"), open, false},
		{"CircleCI, any", at("https://oidc.circleci.com/org/1", "sub", "**/project/**"), open, false},
		{"CircleCI", at("https://oidc.circleci.com/org/1", "sub", "org/1/project/2/**"), "", false},
		{"Buildkite, any", at("https://agent.buildkite.com", "pipeline_slug", "x"), open, false},
		{"Buildkite", at("https://agent.buildkite.com", "organization_id", "x"), "", false},
		{"Google, any", at("https://accounts.google.com", "email_verified", "true"), open + "Google signs for everybody, and this takes tokens of others: match one of sub, email, hd, azp, /google/compute_engine/project_id, /google/compute_engine/project_number by a text without *\n", false},
		{"Google, a domain by mail", at("https://accounts.google.com", "email", "*@example.com"), open, false},
		{"Google", at("https://accounts.google.com", "sub", "1234"), "", false},
		{"Google, by mail", at("https://accounts.google.com", "email", "a@example.com"), "workloads[0].match.email: is a name", true},
		{"Entra, any", at("https://login.microsoftonline.com/t/v2.0", "iss", "**"), open + "Entra signs for everybody, and this takes tokens of others: match one of tid, oid, sub, azp, appid by a text without *\n", false},
		{"Entra", at("https://sts.windows.net/t/", "tid", "t", "appid", "a"), "", false},
		{"roots that are not used", func(c *Config) {
			c.JWKSFile = authn.File{Name: "k", Data: []byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`)}
			c.CAFile = authn.File{Name: "ca.pem"}
		}, "ca_file: is not used", true},
	} {
		cfg := testConfig(issuer)
		c.change(&cfg)
		d, err := New(cfg)
		if (d == nil) == (c.want == "" || c.warning) || (err == nil) != (c.want == "") || !strings.Contains("\n"+fmt.Sprint(err)+"\n", "\n"+c.want) {
			t.Errorf("%s: %v, %v; want %q", c.name, d != nil, err, c.want)
		}
	}
}
