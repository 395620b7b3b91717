package proxy

import (
	"fmt"
	"net/http"

	"gatehouse/authz"
	"gatehouse/metrics"
	"gatehouse/proxy/route"
)

// decider holds a request against the policy and its token.
type decider struct {
	policy  *authz.Policy
	counts  *authz.Counts
	trial   trial
	metrics *metrics.Metrics
}

// decide holds the need against the policy and the token. One rule to remember:
// 401 says that a better token would help, 403 that none would.
func (d *decider) decide(x *exchange) error {
	need := x.route.Need
	found, open := askOf(d.policy, x)
	x.guarded, x.open = len(x.route.Tags) > 0 && need.Action == authz.Push && d.policy.Splits(need.Repository), open
	x.found(found)
	d.trial.ask(x, found)
	switch {
	case !found.Allowed:
		return d.decided(x, "denied", denied(x, need, found))
	case !x.caller.carries(need):
		return d.decided(x, "insufficient_scope", errNarrow)
	case len(x.open) > 0: // for tagGuard
		return nil
	}
	return d.decided(x, "allowed", nil)
}

func (d *decider) decided(x *exchange, result string, err error) error {
	x.event.decision = result
	d.metrics.Decision(string(x.route.Need.Action), result)
	if result != "insufficient_scope" { // which the token decided
		d.counts.Add(x.by, x.event.start)
	}
	return err
}

// denied is what a caller gets that the policy refuses.
func denied(x *exchange, need route.Access, d authz.Decision) *apiError {
	if need.Action == authz.Catalog {
		return refusal(x, d, "listing the catalog")
	}
	return refusal(x, d, fmt.Sprintf("%s of %s", need.Action, need.Repository))
}

// deniedTag is the same for one half of the push of a tag, which stays what it is.
func deniedTag(x *exchange, d authz.Decision, half authz.Action, tag, named string) *apiError {
	e := refusal(x, d, fmt.Sprintf("%s of %s:%s", half, x.route.Repository, tag))
	if half == authz.Overwrite && e.status == http.StatusForbidden {
		e.message += "; " + tag + " stays " + named
	}
	return e
}

// refusal is the 403 that a signed-in caller gets, with the rule to show their admin;
// for the anonymous caller a login may help.
func refusal(x *exchange, d authz.Decision, what string) *apiError {
	if x.caller.identity.Anonymous() {
		return errLogin
	}
	e := &apiError{status: http.StatusForbidden, code: "DENIED", rule: d.Rule}
	if e.rule == "" {
		e.rule = "none"
		if d.Ceiling {
			e.message = fmt.Sprintf("the personal token of %s was not made for %s", x.caller.identity.Username, what)
			return e
		}
		e.message = fmt.Sprintf("no rule of the policy allows %s to %s", what, x.caller.identity.Username)
		return e
	}
	e.message = fmt.Sprintf("the policy (%s) denies %s to %s", d.Rule, what, x.caller.identity.Username)
	return e
}
