package oidc

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"gatehouse/authn"
	"gatehouse/authn/workload"
)

// shared is an issuer that signs for everybody who has an account there: a match has to
// fix whose token it is, or anybody's counts.
type shared struct {
	name  string
	hosts []string
	// owners are claims that are the owner, or what only one owner has.
	owners []string
	// through are claims of which a pattern fixes the owner where its text before the
	// first star fits.
	through map[string]*regexp.Regexp
	// names are claims whose values somebody else may get later, ids those that nobody does.
	names, ids []string
}

var (
	pathOwner    = regexp.MustCompile(`^[^/:]+/`)
	githubSub    = regexp.MustCompile(`^repo:[^/:]+/`)
	gitlabSub    = regexp.MustCompile(`^project_path:[^/:]+/`)
	organization = regexp.MustCompile(`^organization:[^:]+:`)
	circleSub    = regexp.MustCompile(`^org/[^/:]+/`)
)

var issuers = []shared{
	{name: "GitHub", hosts: []string{"token.actions.githubusercontent.com"},
		owners:  []string{"repository_owner", "repository_owner_id", "repository_id", "enterprise", "enterprise_id"},
		through: map[string]*regexp.Regexp{"sub": githubSub, "repository": pathOwner},
		names:   []string{"sub", "repository", "repository_owner", "enterprise"}, ids: []string{"repository_owner_id", "repository_id", "enterprise_id"}},
	{name: "gitlab.com", hosts: []string{"gitlab.com"},
		owners:  []string{"namespace_id", "namespace_path", "project_id"},
		through: map[string]*regexp.Regexp{"sub": gitlabSub, "project_path": pathOwner, "namespace_path": pathOwner},
		names:   []string{"sub", "project_path", "namespace_path"}, ids: []string{"namespace_id", "project_id"}},
	{name: "Terraform Cloud", hosts: []string{"app.terraform.io"},
		owners:  []string{"terraform_organization_id", "terraform_organization_name", "terraform_project_id", "terraform_workspace_id"},
		through: map[string]*regexp.Regexp{"sub": organization},
		names:   []string{"sub", "terraform_organization_name"}, ids: []string{"terraform_organization_id", "terraform_project_id", "terraform_workspace_id"}},
	{name: "CircleCI", hosts: []string{"oidc.circleci.com"},
		owners:  []string{"oidc.circleci.com/org-id", "oidc.circleci.com/project-id"},
		through: map[string]*regexp.Regexp{"sub": circleSub}},
	{name: "Buildkite", hosts: []string{"agent.buildkite.com"},
		owners:  []string{"organization_id", "organization_slug", "pipeline_id"},
		through: map[string]*regexp.Regexp{"sub": organization},
		names:   []string{"sub", "organization_slug"}, ids: []string{"organization_id", "pipeline_id"}},
	{name: "Google", hosts: []string{"accounts.google.com"},
		owners: []string{"sub", "email", "hd", "azp", "/google/compute_engine/project_id", "/google/compute_engine/project_number"},
		names:  []string{"email"}, ids: []string{"sub"}},
	{name: "Entra", hosts: []string{"login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn", "sts.windows.net"},
		owners: []string{"tid", "oid", "sub", "azp", "appid"}},
}

// unknown is any other issuer. Those that are a GitHub or a GitLab of a company's own have
// the same claims.
var unknown = shared{names: []string{"repository", "repository_owner", "project_path", "namespace_path"},
	ids: []string{"repository_owner_id", "repository_id", "namespace_id", "project_id"}}

// sharedIssuer is the one whose host an issuer has; nil: none that is known.
func sharedIssuer(issuer string) *shared {
	u, err := url.Parse(issuer)
	if err != nil {
		return nil
	}
	for i := range issuers {
		if slices.Contains(issuers[i].hosts, strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))) {
			return &issuers[i]
		}
	}
	return nil
}

// checkOwners holds the matches against what is known of the issuer.
func checkOwners(issuer string, list []workload.Workload) error {
	var faults authn.Faults
	s := sharedIssuer(issuer)
	for i, w := range list {
		key := fmt.Sprintf("workloads[%d].match", i)
		if len(w.Match) == 0 {
			continue // told already
		}
		if s != nil && !s.fixed(w.Match) {
			faults.Add(key, fmt.Errorf("%s signs for everybody, and this takes tokens of others: match one of %s by a text without *%s", s.name, strings.Join(s.owners, ", "), s.ways()))
			continue
		}
		of := s
		if s == nil {
			of = &unknown
		}
		if claim := of.recycled(w.Match); claim != "" {
			faults.Warn(key+"."+claim, fmt.Errorf("is a name, which somebody else may have later: match %s too", strings.Join(of.ids, " or ")))
		}
	}
	return faults.Err()
}

// ways are how a pattern fixes the owner, as the end of a sentence; empty: it cannot.
func (s *shared) ways() string {
	var list []string
	for claim, way := range s.through {
		sample := strings.NewReplacer("^", "", "[^/:]+", "OWNER", "[^:]+", "OWNER").Replace(way.String())
		list = append(list, ", or "+claim+" through "+sample)
	}
	slices.Sort(list)
	return strings.Join(list, "")
}

// fixed reports whether one of the conditions fixes the owner.
func (s *shared) fixed(m workload.Match) bool {
	return slices.ContainsFunc(m, func(c workload.Condition) bool {
		return len(c.Any) > 0 && !slices.ContainsFunc(c.Any, func(p string) bool { return !s.fixes(c.Claim, p) })
	})
}

// fixes reports whether a pattern does.
func (s *shared) fixes(claim, pattern string) bool {
	literal, _, open := strings.Cut(pattern, "*")
	if slices.Contains(s.owners, claim) && !open && literal != "" {
		return true
	}
	through := s.through[claim]
	return through != nil && through.MatchString(literal)
}

// recycled is the first claim of a match that is a name, where no id stands beside it.
func (s *shared) recycled(m workload.Match) string {
	first := ""
	for _, c := range m {
		if slices.Contains(s.ids, c.Claim) {
			return ""
		}
		if first == "" && slices.Contains(s.names, c.Claim) {
			first = c.Claim
		}
	}
	return first
}
