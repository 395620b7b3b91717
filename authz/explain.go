package authz

import (
	"slices"
	"strings"

	"gatehouse/authn"
)

// Explanation is a Decision with what explain shows beside it.
type Explanation struct {
	Decision
	// Conditions are rules that speak of this caller, action and repository but
	// hang on a tag or a network that the request does not give, or on another time,
	// each with its label and what it hangs on.
	Conditions []string
}

// Explain decides and lists the conditions. An invalid Source leaves the address
// open: rules with networks do not match then, and are conditions.
func (p *Policy) Explain(id authn.Identity, r Request) Explanation {
	c := p.caller(id)
	r.At = p.now(r.At)
	places := c.rules(nil, bit(r.Action), r.Repository)
	var conditions []string
	for _, i := range places {
		if text := p.rules[i].condition(&c.person, &r); text != "" {
			conditions = append(conditions, text)
		}
	}
	if !r.Source.IsValid() {
		places = slices.DeleteFunc(places, func(i int) bool { return len(p.rules[i].networks) > 0 })
	}
	return Explanation{c.judge(places, &r), conditions}
}

// condition is what the rule hangs on that the request leaves open; empty where a
// tag or an address that is given settles it.
func (r *rule) condition(who *person, q *Request) string {
	if len(q.Tags) > 0 && !r.deniesTags(who, bit(q.Action), q.Tags) {
		return ""
	}
	if q.Source.IsValid() && !r.inNetwork(q.Source) {
		return ""
	}
	var open []string
	if len(r.tags) > 0 && len(q.Tags) == 0 {
		open = append(open, "the tag is "+texts(r.tags))
	}
	if len(r.networks) > 0 && !q.Source.IsValid() {
		open = append(open, "the client is in "+texts(r.networks))
	}
	if !r.inTime(q.At) {
		open = append(open, "the time is"+r.times())
	}
	if len(open) == 0 {
		return ""
	}
	verb := "allows"
	if r.deny {
		verb = "denies"
	}
	return r.label + " " + verb + " " + r.actions.String() + " if " + strings.Join(open, " and ")
}

// times is when the rule counts, as the config writes it.
func (r *rule) times() string {
	var text string
	if r.source.From != "" {
		text = " from " + r.source.From
	}
	if r.source.Until != "" {
		text += " until " + r.source.Until
	}
	return text
}

// texts lists patterns or networks as the config may write them.
func texts[T interface{ String() string }](list []T) string {
	names := make([]string, len(list))
	for i, one := range list {
		names[i] = one.String()
	}
	return strings.Join(names, " or ")
}
