package authz

import "gatehouse/authn"

// Answer is an Explanation as users read it, in JSON too: `gatehouse explain`, GET /explain
// of admin.socket and /ui/me say the same.
type Answer struct {
	Allowed    bool       `json:"allowed"`    // all of what was asked
	Rule       AnswerRule `json:"rule"`       // that decided
	Identity   Person     `json:"identity"`   // as the rules see it
	Conditions []string   `json:"conditions"` // what the answer hangs on that the question leaves open
}

// AnswerRule is one of the policy.
type AnswerRule struct {
	Name     string `json:"name"`     // empty: it has none
	Position string `json:"position"` // file and line; none: no rule decided
}

// Label is what stands for the rule wherever it is named; see Rule.Label.
func (r AnswerRule) Label() string { return Rule{Name: r.Name, Position: r.Position}.Label() }

// Person is all of a caller that rules can hang on.
type Person struct {
	User      string   `json:"user,omitempty"`      // a name, or (anonymous); empty for a machine
	Machine   string   `json:"machine,omitempty"`   // a name; empty for a person
	Directory string   `json:"directory,omitempty"` // none for somebody described without one
	ID        string   `json:"id,omitempty"`        // that lasts, of the directory
	DN        string   `json:"dn,omitempty"`        // of LDAP
	Groups    []string `json:"groups"`              // each with its DN in brackets where it has one
	NoLogin   string   `json:"no_login,omitempty"`  // why they may not log in
	Unknown   string   `json:"unknown,omitempty"`   // why nobody of that name is known; all else is empty then
}

// Answer explains in the words of users.
func (p *Policy) Answer(id authn.Identity, r Request) Answer {
	x := p.Explain(id, r)
	a := Answer{Allowed: x.Allowed, Identity: Describe(id), Conditions: append([]string{}, x.Conditions...)}
	if a.Rule.Name, a.Rule.Position = x.By(); a.Rule.Position == "" {
		a.Rule.Position = "none"
	}
	return a
}

// Unknown is the answer about a name that nobody has; the error says why.
func Unknown(who Person, why error) Answer {
	who.Groups, who.Unknown = []string{}, why.Error()
	return Answer{Rule: AnswerRule{Position: "none"}, Identity: who, Conditions: []string{}}
}

// Describe is an identity in the words of explain.
func Describe(id authn.Identity) Person {
	out := Person{Directory: id.Directory, ID: id.ID, DN: id.DN, Groups: make([]string, len(id.Groups)), NoLogin: id.NoLogin}
	switch {
	case id.Anonymous():
		out.User = "(anonymous)"
	case id.Machine:
		out.Machine = id.Username
	default:
		out.User = id.Username
	}
	for i, g := range id.Groups {
		if out.Groups[i] = g.Name; g.DN != "" {
			out.Groups[i] += " (" + g.DN + ")"
		}
	}
	return out
}
