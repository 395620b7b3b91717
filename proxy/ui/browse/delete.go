package browse

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"golang.org/x/sync/errgroup"

	"gatehouse/authz"
	"gatehouse/proxy/route"
)

// Target is what somebody wants to delete.
type Target struct {
	// Repository is its name.
	Repository string
	// Reference is a tag or a digest.
	Reference string
}

// String is how it is written in commands: NAME:TAG or NAME@DIGEST.
func (t Target) String() string {
	if route.ValidDigest(t.Reference) {
		return t.Repository + "@" + t.Reference
	}
	return t.Repository + ":" + t.Reference
}

func (t Target) tag() bool { return !route.ValidDigest(t.Reference) }

// Plan is what would go with a Target.
type Plan struct {
	// Target is what it is about.
	Target
	// State is Ready, or why its digest is not known: Absent, Loading or Failed.
	State State
	// Digest is what the reference names.
	Digest string
	// Tags are all tags of that digest that were found, the target's among them.
	Tags []string
	// Checked is of how many tags of the repository it is known what they name, All how
	// many it has.
	Checked, All int
	// NeededBy are the tags of indexes that have the image as the one for a platform.
	NeededBy []string
	// Tag and Image are the policy's decisions on removing the tag alone, and on deleting
	// the image with all its tags. Of a digest there is no Tag to remove.
	Tag, Image authz.Decision
}

// Visible is the policy's refusal where the caller may pull from the repository of no target, and
// nil where there is one to be shown: of the others nothing is told but that they are Absent.
func (v *Visit) Visible(targets []Target) error {
	var refusal error
	for _, t := range targets {
		err := v.may(authz.Pull, t.Repository)
		if err == nil {
			return nil
		}
		if refusal == nil {
			refusal = err
		}
	}
	return refusal
}

// Plans tells what would go, and what the policy says of it. Errors of single targets are in
// their State; the error is ErrAbsent where none of them is there, or what kept the registry
// from showing any.
func (v *Visit) Plans(ctx context.Context, targets []Target) (plans []Plan, err error) {
	ctx, cancel := context.WithTimeout(ctx, imageLimit)
	defer cancel()
	faults := make([]error, len(targets))
	plans = make([]Plan, len(targets))
	var readers errgroup.Group
	readers.SetLimit(scanReaders)
	for i, t := range targets {
		plans[i], faults[i] = Plan{Target: t, State: Absent}, ErrAbsent
		if v.may(authz.Pull, t.Repository) == nil {
			readers.Go(func() error { faults[i] = v.plan(ctx, &plans[i]); return nil })
		}
	}
	_ = readers.Wait() // whose errors are in faults
	err = ErrAbsent
	for i, fault := range faults {
		if fault == nil {
			v.judge(&plans[i])
		}
		if fault == nil || errors.Is(err, ErrAbsent) {
			err = fault
		}
	}
	return plans, err
}

// plan reads what would go. It asks the policy nothing, as plans are read side by side and a
// Visit's policy is asked by one at a time.
func (v *Visit) plan(ctx context.Context, p *Plan) error {
	n, err := v.current(ctx, p.Repository, p.Reference)
	if err != nil {
		p.State = unread("", err).State
		return err
	}
	p.State, p.Digest = Ready, n.digest
	f, err := v.scan(ctx, p.Repository)
	if err != nil {
		f = &found{}
	}
	p.Tags, p.Checked, p.All = slices.Clone(f.tags[n.digest]), f.checked, f.all
	if p.tag() && !slices.Contains(p.Tags, p.Reference) {
		p.Tags = append(p.Tags, p.Reference)
	}
	p.NeededBy = v.needing(f, p.Repository, n.digest)
	return nil
}

// judge adds what the policy says of a plan.
func (v *Visit) judge(p *Plan) {
	if p.tag() {
		p.Tag = v.Decide(authz.Delete, p.Repository, p.Reference)
	}
	p.Image = v.decideImage(p.Repository, p.Tags)
}

// decideImage is the policy's decision on deleting an image with its tags: as under /v2/,
// where no tag is named, and for the tags that were found.
func (v *Visit) decideImage(name string, tags []string) authz.Decision {
	d := v.Decide(authz.Delete, name)
	if !d.Allowed || len(tags) == 0 {
		return d
	}
	if of := v.Decide(authz.Delete, name, tags...); !of.Allowed {
		return of
	}
	return d
}

// Order is one deletion.
type Order struct {
	// Target is what to delete.
	Target
	// Shown is the digest that the person saw: where the tag names another one by now,
	// nothing is deleted, nor where it is Unseen. Empty: the person was shown nothing.
	Shown string
	// Image deletes the image with all its tags; else the tag alone is removed.
	Image bool
}

// Unseen is the digest of what a page could not show: that the registry told none.
const Unseen = "unseen"

// Status is what became of an Order.
type Status string

// The statuses.
const (
	Deleted     Status = "deleted"
	Along       Status = "along"       // it went with another one of the same orders
	Missing     Status = "absent"      // it was not there any more, or is not for the caller
	Refused     Status = "denied"      // by the policy
	Moved       Status = "moved"       // the tag names another digest than the one shown, or none was
	Unsupported Status = "unsupported" // the registry cannot remove a tag alone
	Off         Status = "off"         // the registry does not delete anything
	Broken      Status = "failed"      // the registry did not answer, or with an error; what it did is not known
)

// Result is what became of one Order.
type Result struct {
	// Order is the order.
	Order
	// Status says it.
	Status Status
	// Digest is what the reference named; empty: that was not found out.
	Digest string
	// Rule is the one that denied it; empty: none allows it.
	Rule string
}

// Delete carries out orders, one after the other, each decided on by itself. One whose caller
// is gone is ended nevertheless.
func (v *Visit) Delete(ctx context.Context, orders []Order) []Result {
	ctx = context.WithoutCancel(ctx)
	orders = slices.Clone(orders)
	v.nameAll(ctx, orders)
	gone := map[Target]bool{} // images, by digest
	results := make([]Result, len(orders))
	for i, o := range orders {
		results[i] = v.delete(ctx, o, gone)
		if r := &results[i]; r.Status == Deleted && o.Image {
			gone[Target{o.Repository, r.Digest}] = true
		}
	}
	return results
}

// nameAll finds out which images the tags of several orders name for which no digest was
// shown: once one is gone the registry no longer tells which tags went with it.
func (v *Visit) nameAll(ctx context.Context, orders []Order) {
	var readers errgroup.Group
	readers.SetLimit(scanReaders)
	for i := range orders {
		o := &orders[i]
		if len(orders) == 1 || !o.Image || o.digest() != "" || v.may(authz.Pull, o.Repository) != nil {
			continue
		}
		readers.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, readLimit)
			defer cancel()
			n, err := v.current(ctx, o.Repository, o.Reference)
			o.Shown = n.digest
			return err
		})
	}
	_ = readers.Wait() // whoever is not known is asked for once more
}

// digest is what was shown, or what the order itself says; empty: neither.
func (o *Order) digest() string {
	if o.Shown == "" && !o.tag() {
		return o.Reference
	}
	return o.Shown
}

func (v *Visit) delete(ctx context.Context, o Order, gone map[Target]bool) Result {
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	r := Result{Order: o}
	if d := v.Decide(authz.Pull, o.Repository); !d.Allowed { // to its caller it is not there
		v.refuse(ctx, &r, d)
		r.Status, r.Rule = Missing, ""
		return r
	}
	if !o.Image && !o.tag() { // nothing but an image has that name
		r.Status = Unsupported
		return r
	}
	if d := v.decide(o, nil); !d.Allowed {
		v.refuse(ctx, &r, d)
		return r
	}
	n, err := v.current(ctx, o.Repository, o.Reference)
	if errors.Is(err, ErrAbsent) && o.Shown != Unseen {
		n.digest = o.digest()
	}
	if r.Digest = n.digest; gone[Target{o.Repository, n.digest}] {
		r.Status = Along
		return r
	}
	if err != nil {
		r.fail(err)
		return r
	}
	if o.Shown != "" && o.Shown != n.digest {
		r.Status = Moved
		return r
	}
	if d := v.decide(o, v.library.sameDigest(tagsKey{v.caller.Place, o.Repository})[n.digest]); !d.Allowed {
		v.refuse(ctx, &r, d)
		return r
	}
	v.send(ctx, &r)
	return r
}

// refuse notes that the policy does not allow it.
func (v *Visit) refuse(ctx context.Context, r *Result, by authz.Decision) {
	r.Status, r.Rule = Refused, by.Rule
	if rt, err := target(http.MethodDelete, r.Repository, "manifests/", r.Reference); err == nil {
		v.registry.Refused(ctx, v.caller, rt, by)
	}
}

// decide is the policy's decision on an order, where these tags are known to go with it.
// Registry decides once more.
func (v *Visit) decide(o Order, along []string) authz.Decision {
	switch {
	case !o.Image:
		return v.Decide(authz.Delete, o.Repository, o.Reference)
	case o.tag() && !slices.Contains(along, o.Reference):
		along = append(slices.Clone(along), o.Reference)
	}
	return v.decideImage(o.Repository, along)
}

// send asks the registry to delete it.
func (v *Visit) send(ctx context.Context, r *Result) {
	reference := r.Reference
	if r.Image {
		reference = r.Digest
	}
	rt, err := target(http.MethodDelete, r.Repository, "manifests/", reference)
	if err != nil {
		r.fail(err)
		return
	}
	reply, err := v.read(ctx, "delete", rt, nil, 64<<10)
	v.library.Deleted(v.caller.Place, r.Repository)
	if err != nil {
		r.fail(err)
		return
	}
	switch alone := route.ValidDigest(reference); {
	case reply.status >= 200 && reply.status < 300:
		r.Status = Deleted
	case reply.status == http.StatusNotFound:
		r.Status = Missing
	case !alone && (reply.status == http.StatusBadRequest || reply.status == http.StatusMethodNotAllowed):
		r.Status = Unsupported
	case reply.status == http.StatusMethodNotAllowed:
		r.Status = Off
	default:
		r.Status = Broken
	}
}

// fail sorts an error.
func (r *Result) fail(err error) {
	denied := new(Denied)
	switch {
	case errors.As(err, &denied):
		r.Status, r.Rule = Refused, denied.Rule
	case errors.Is(err, ErrAbsent):
		r.Status = Missing
	default:
		r.Status = Broken
	}
}
