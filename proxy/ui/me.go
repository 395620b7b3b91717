package ui

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
)

// meView is the page that tells a visitor who they are here, and what they may do.
type meView struct {
	Identity authn.Identity
	Address  string
	At       time.Time
	Ends     time.Time
	Rules    []ruleRow
	Test     testBox
}

// ruleRow is a rule, with the visitor's names put in.
type ruleRow struct {
	Label                      string
	Deny                       bool
	Actions, Repositories      []string
	Tags, Networks, To, Except []string
	From, Until                string
}

// testBox asks the policy one question.
type testBox struct {
	User, Action, Ref, IP string
	Fault                 string  // what is wrong with the question
	Answer                *answer // nil: nothing was asked
	Actions               []string
}

// answer is what `gatehouse explain` says, as GET /explain of admin.socket does.
type answer struct {
	Allowed bool `json:"allowed"`
	Rule    struct {
		Name     string `json:"name"`
		Position string `json:"position"`
	} `json:"rule"`
	Identity   answerIdentity `json:"identity"`
	Conditions []string       `json:"conditions"`
	Label      string         `json:"-"`
}

// answerIdentity is the caller that the policy was asked about.
type answerIdentity struct {
	User      string   `json:"user"`
	Directory string   `json:"directory,omitempty"`
	ID        string   `json:"id,omitempty"`
	DN        string   `json:"dn,omitempty"`
	Groups    []string `json:"groups"`
	NoLogin   string   `json:"no_login,omitempty"`
}

// actions are those that can be asked about.
var actions = []string{"pull", "push", "delete", "create", "overwrite"}

// me shows the visitor to themselves.
func (u *UI) me(w http.ResponseWriter, r *http.Request, c *Call) error {
	id := c.visitor.identity
	if id.Anonymous() {
		u.toLogin(w, c)
		return nil
	}
	box := testBox{Action: c.target.query.Get("action"), Ref: c.target.query.Get("ref"), Actions: actions}
	if box.Action != "" || box.Ref != "" {
		u.test(&box, id, authz.Request{Source: c.Client})
	}
	if wantsJSON(r) {
		if box.Answer == nil {
			return badRequest("The parameters action and ref ask what the policy says. " + box.Fault)
		}
		return sendJSON(w, r, box.Answer)
	}
	f := u.frame(r, c, atMe, "My access")
	v := meView{Identity: id, Address: "unknown", At: u.now(), Ends: c.visitor.session.Expires, Test: box}
	if c.Client.IsValid() {
		v.Address = c.Client.String()
	}
	for _, rule := range u.o.Policy.Rules(id) {
		v.Rules = append(v.Rules, rowOf(rule, id))
	}
	f.Content = v
	return u.show(w, r, f, "me")
}

// test asks the question of a box.
func (u *UI) test(box *testBox, id authn.Identity, q authz.Request) {
	repository, tag, tagged := strings.Cut(box.Ref, ":")
	q.Action, q.Repository = authz.Action(box.Action), repository
	switch {
	case !slices.Contains(actions, box.Action):
		box.Fault = "Choose an action."
		return
	case !authz.ValidRepository(repository):
		box.Fault = "That is not a name that a repository can have."
		return
	case tagged && !authz.ValidTag(tag):
		box.Fault = "That is not a tag."
		return
	case tagged:
		q.Tags = []string{tag}
	}
	x := u.o.Policy.Explain(id, q)
	a := &answer{Allowed: x.Allowed, Conditions: append([]string{}, x.Conditions...), Label: x.Rule, Identity: describe(id)}
	if a.Rule.Name, a.Rule.Position = x.By(); a.Rule.Position == "" {
		a.Rule.Position, a.Label = "none", "none"
	}
	box.Answer = a
}

// describe is an identity as explain shows it.
func describe(id authn.Identity) answerIdentity {
	out := answerIdentity{User: id.Username, Directory: id.Directory, ID: id.ID, DN: id.DN, Groups: groupsOf(id), NoLogin: id.NoLogin}
	if id.Anonymous() {
		out.User = "(anonymous)"
	}
	return out
}

func groupsOf(id authn.Identity) []string {
	list := make([]string, len(id.Groups))
	for i, g := range id.Groups {
		if list[i] = g.Name; g.DN != "" {
			list[i] += " (" + g.DN + ")"
		}
	}
	return list
}

// rowOf is a rule as it counts for somebody.
func rowOf(r authz.Rule, id authn.Identity) ruleRow {
	row := ruleRow{Label: r.Label(), Actions: r.Allow, Tags: r.Tags, Networks: r.Networks, To: r.To, Except: r.Except, From: r.From, Until: r.Until}
	if len(r.Deny) > 0 {
		row.Deny, row.Actions = true, r.Deny
	}
	for _, pattern := range r.Repositories {
		row.Repositories = append(row.Repositories, strings.ReplaceAll(pattern, "{user}", id.Username))
	}
	return row
}

// signOut ends all sessions and tokens that the visitor was given by their password.
func (u *UI) signOut(w http.ResponseWriter, r *http.Request, c *Call) error {
	id := c.visitor.identity
	if id.Anonymous() {
		u.toLogin(w, c)
		return nil
	}
	c.setSession(w, "")
	c.Seen.Logout = true
	if err := errors.Join(u.stop(r.Context(), c), u.o.Revoker.EndPerson(r.Context(), id.Directory, id.Username, u.o.Lasting)); err != nil {
		return err
	}
	w.Header().Set("Clear-Site-Data", `"cache"`)
	lead(w, "/ui/login")
	return nil
}
