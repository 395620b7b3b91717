package ui

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/proxy/freeze"
	"gatehouse/proxy/shadow"
)

// meView is the page that tells a visitor who they are here, and what they may do.
type meView struct {
	Identity  authn.Identity
	Address   string
	Asked     time.Time // when the directory said so
	Ends      time.Time
	Renewed   bool          // another page puts Ends off
	Freeze    *freeze.Order // nil: nothing is stopped
	Rules     []ruleRow
	MoreRules int          // that are not shown
	Tried     []shadow.Row // what the policy that is tried would do otherwise
	Test      testBox
}

// ruleRow is a rule, with the visitor's names put in.
type ruleRow struct {
	authz.Rule
	Actions []string // allowed, or denied
	Off     bool     // it is not its time
	Counted authz.RuleCount
	now     time.Time
}

// mostRules and mostPatterns bound what is shown of a policy.
const mostRules, mostPatterns = 500, 20

// testBox asks the policy one question.
type testBox struct {
	User, Action, Ref, IP string
	Fault                 string        // what is wrong with the question
	Answer                *authz.Answer // nil: nothing was asked
	Actions               []string
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
		if q := box.request(c.Client); box.Fault == "" {
			box.Answer = new(u.o.Policy.Answer(id, q))
		}
	}
	if wantsJSON(r) {
		if box.Answer == nil {
			return badRequest("The parameters action and ref ask what the policy says. " + box.Fault)
		}
		return sendJSON(w, r, box.Answer)
	}
	f := u.frame(r, c, atMe, "My access")
	v := meView{Identity: id, Address: "unknown", Asked: u.o.Chain.Asked(id), Ends: c.visitor.session.Expires, Test: box, Freeze: u.o.Freeze.Now(),
		Tried: u.o.Trial.Report().Of(id.Directory, id.Username)}
	if c.Client.IsValid() {
		v.Address = c.Client.String()
	}
	v.Renewed = v.Ends.Before(c.visitor.session.IssuedAt.Add(u.o.Config.Session).Add(-time.Second))
	if v.Asked.IsZero() {
		v.Asked = u.now()
	}
	v.Rules, v.MoreRules = u.rulesOf(id)
	f.Content = v
	return u.show(w, r, f, "me")
}

// rulesOf are the rules that speak of somebody, as they count for them.
func (u *UI) rulesOf(id authn.Identity) (rows []ruleRow, more int) {
	all := u.o.Policy.Rules(id)
	shown := all[:min(len(all), mostRules)]
	for _, rule := range shown {
		row := ruleRow{Rule: rule.For(id), Actions: rule.Allow, Off: !rule.Counts(u.now()), Counted: u.o.Counts.Of(rule), now: u.now()}
		if len(rule.Deny) > 0 {
			row.Actions = rule.Deny
		}
		rows = append(rows, row)
	}
	return rows, len(all) - len(shown)
}

// Age says how long ago a time is.
func (r ruleRow) Age(t time.Time) string { return age(r.now, t) }

// Decided is how many requests of all people the rule has decided.
func (r ruleRow) Decided() string {
	var texts []string
	if n := r.Counted.Allowed; n > 0 {
		texts = append(texts, "allowed "+countOf(int(n)))
	}
	if n := r.Counted.Denied; n > 0 {
		texts = append(texts, "denied "+countOf(int(n)))
	}
	if texts == nil {
		return "nothing yet"
	}
	return strings.Join(texts, ", ")
}

// Few are the patterns that are shown of a list.
func (r ruleRow) Few(patterns []string) []string { return patterns[:min(len(patterns), mostPatterns)] }

// request is the question of a box, asked from an address; Fault is what is wrong with it.
func (b *testBox) request(source netip.Addr) authz.Request {
	repository, tag, tagged := strings.Cut(b.Ref, ":")
	q := authz.Request{Action: authz.Action(b.Action), Repository: repository, Source: source}
	switch {
	case !slices.Contains(actions, b.Action):
		b.Fault = "Choose an action."
	case !authz.ValidRepository(repository):
		b.Fault = "That is not a name that a repository can have."
	case tagged && !authz.ValidTag(tag):
		b.Fault = "That is not a tag."
	case tagged:
		q.Tags = []string{tag}
	}
	return q
}

// signOut ends all sessions and tokens of the visitor, personal ones too.
func (u *UI) signOut(w http.ResponseWriter, r *http.Request, c *Call) error {
	id := c.visitor.identity
	if id.Anonymous() {
		u.toLogin(w, c)
		return nil
	}
	if err := errors.Join(u.stop(r.Context(), c), u.endAll(r.Context(), c)); err != nil {
		return err // some may have ended: whoever sees this asks again
	}
	c.setSession(w, "")
	c.Seen.Logout = true
	w.Header().Set("Clear-Site-Data", `"cache"`)
	lead(w, "/ui/login")
	return nil
}

// endAll ends what the visitor was given until now. Personal tokens outlast what the revoker
// remembers, so each is ended itself.
func (u *UI) endAll(ctx context.Context, c *Call) error {
	id := c.visitor.identity
	if u.o.Tokens == nil {
		return u.o.Revoker.EndPerson(ctx, id.Directory, id.Username, u.o.Lasting)
	}
	ended, err := u.o.Tokens.RevokeAll(ctx, id.Directory+"/"+id.Username, u.o.Lasting)
	for _, t := range ended {
		c.Seen.Ended = append(c.Seen.Ended, Change{ID: t.ID, Name: t.Name, By: "owner", Ended: true})
	}
	return err
}
