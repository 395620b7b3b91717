package ui

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"gatehouse/authz"
	"gatehouse/proxy/route"
	"gatehouse/proxy/ui/browse"
)

// deleteView is the page that tells what would go, and what went.
type deleteView struct {
	Plans    []browse.Plan
	Results  []browse.Result // of what was done; nil: nothing was
	Target   string          // of the form
	Confirm  string          // what is to be typed
	Many     bool
	MayTag   bool // some tag can be removed
	MayImage bool
	Fault    *Fault // why nothing was deleted
	Back     string
	Images   string // of what cannot be removed by its tag: where the image can be deleted
}

// targets are what the page is about. nil without an error: the visitor was led to the login.
// Of what they may not see they are told nothing, whatever they want done there.
func (u *UI) targets(w http.ResponseWriter, c *Call) (list []browse.Target, err error) {
	if !u.o.Config.Delete || len(c.target.query["ref"]) == 0 {
		return nil, notFound()
	}
	for _, text := range c.target.query["ref"] {
		t, err := reference(text)
		if err != nil {
			return nil, badRequest("Each ref is REPOSITORY:TAG or REPOSITORY@DIGEST.")
		}
		list = append(list, browse.Target{Repository: t.repository, Reference: t.reference})
		if c.Seen.Repository = t.repository; len(c.target.query["ref"]) == 1 {
			c.Seen.Reference, c.Seen.Tag = t.reference, t.tag
		}
	}
	if c.visitor.identity.Anonymous() {
		u.toLogin(w, c)
		return nil, nil
	}
	if err := u.visible(c, list); err != nil {
		return nil, u.unread(w, c, err)
	}
	return list, nil
}

// visible is the policy's refusal where the visitor may see nothing of a list.
func (u *UI) visible(c *Call, list []browse.Target) error {
	visit, asked := u.visit(c), map[string]bool{}
	err := visit.Visible(list)
	for _, t := range list {
		d := visit.Decide(authz.Pull, t.Repository)
		if again := asked[t.Repository]; !again && d.Allowed == (err == nil) {
			u.decided(d)
		}
		asked[t.Repository] = true
	}
	return err
}

// deletion tells what would go.
func (u *UI) deletion(w http.ResponseWriter, r *http.Request, c *Call) error {
	list, err := u.targets(w, c)
	if list == nil {
		return err
	}
	return u.deletePage(w, r, c, list, nil)
}

// deletePage tells what would go; fault is why it has not.
func (u *UI) deletePage(w http.ResponseWriter, r *http.Request, c *Call, list []browse.Target, fault *Fault) error {
	plans, err := u.visit(c).Plans(r.Context(), list)
	if err != nil && (fault == nil || errors.Is(err, browse.ErrAbsent)) {
		return u.unread(w, c, err)
	}
	v := deleteView{Plans: plans, Target: c.target.canonical(), Fault: fault}
	for i := range v.Plans {
		v.MayTag = v.MayTag || v.Plans[i].Tag.Allowed
		v.MayImage = v.MayImage || v.Plans[i].Image.Allowed && v.Plans[i].Digest != ""
	}
	v.Confirm, v.Many, v.Back = confirmation(list), len(list) > 1, "/ui/r/"+list[0].Repository
	return u.showDelete(w, r, c, v, list)
}

func (u *UI) showDelete(w http.ResponseWriter, r *http.Request, c *Call, v deleteView, list []browse.Target) error {
	f := u.frame(r, c, atDelete, "Delete "+plural(len(list), "image", "images"))
	f.Crumbs = crumbs(list[0].Repository)
	if v.Results != nil {
		f.Heading = "What was deleted"
	}
	if v.Fault != nil {
		f.Status = v.Fault.Status
		retryAfter(w.Header(), v.Fault.Retry)
	}
	f.Content = v
	return u.show(w, r, f, "delete")
}

// confirmation is what is to be typed: the name, or of many their number.
func confirmation(list []browse.Target) string {
	if len(list) == 1 {
		return list[0].Repository
	}
	return strconv.Itoa(len(list))
}

// remove deletes, where the confirmation is right.
func (u *UI) remove(w http.ResponseWriter, r *http.Request, c *Call, form url.Values) error {
	if refs := form["ref"]; len(refs) > 0 && len(c.target.query["ref"]) == 0 {
		c.target.query.Set("ref", "")
		c.target.query["ref"] = refs
	}
	list, err := u.targets(w, c)
	what, shown := form.Get("what"), form["digest"]
	switch {
	case list == nil:
		return err
	case what != "tag" && what != "image":
		return u.deletePage(w, r, c, list, &Fault{Status: http.StatusUnprocessableEntity, Code: "UNSUPPORTED", Message: "Choose whether the tag or the image is to go. Nothing was deleted."})
	case u.frozen(list) != nil:
		return u.deletePage(w, r, c, list, u.frozen(list))
	case form.Get("confirm") != confirmation(list):
		return u.deletePage(w, r, c, list, &Fault{Status: http.StatusUnprocessableEntity, Code: "UNSUPPORTED", Message: "What you typed is not “" + confirmation(list) + "”. Nothing was deleted."})
	case len(shown) > 0 && len(shown) != len(list):
		return badRequest("The form has not one digest for each image.")
	}
	orders := make([]browse.Order, len(list))
	for i, t := range list {
		orders[i] = browse.Order{Target: t, Image: what == "image"}
		if len(shown) > 0 {
			orders[i].Shown = cmp.Or(shown[i], browse.Unseen)
		}
	}
	return u.showDelete(w, r, c, report(u.visit(c).Delete(r.Context(), orders)), list)
}

// frozen is why some of it cannot be deleted now; nil: nothing is against it.
func (u *UI) frozen(list []browse.Target) *Fault {
	for _, t := range list {
		if o := u.o.Freeze.Closes(t.Repository); o != nil {
			return &Fault{Status: http.StatusServiceUnavailable, Code: "UNAVAILABLE", Message: "Pushes and deletes are stopped for now: " + plain(o.Reason),
				Retry: max(cmp.Or(o.Left(u.now()), time.Minute), time.Second)}
		}
	}
	return nil
}

// report tells what became of each.
func report(results []browse.Result) deleteView {
	v := deleteView{Results: results, Back: "/ui/r/" + results[0].Repository}
	images := target{place: atDelete, query: url.Values{}}
	for _, r := range results {
		if r.Status == browse.Unsupported {
			images.query.Add("ref", r.String())
		}
	}
	if len(images.query) > 0 {
		v.Images = images.canonical()
	}
	return v
}

// Sentence says what became of one, in words.
func (v deleteView) Sentence(r browse.Result) string {
	switch r.Status {
	case browse.Deleted:
		if r.Image {
			return "The image and all its tags were deleted."
		}
		return "The tag was removed. The image stays, under its digest and its other tags."
	case browse.Along:
		return "It went with another one of this list, as both are the same image."
	case browse.Missing:
		return "It was not there any more."
	case browse.Refused:
		if r.Rule == "" {
			return "Refused: no rule of the policy allows you to delete it."
		}
		return "Refused by the rule " + r.Rule + "."
	case browse.Moved:
		if r.Shown == browse.Unseen {
			return "Not deleted: the page that you sent did not say which image it is. Look at it again."
		}
		return "Not deleted: the tag names another image by now than the one that was shown to you."
	case browse.Unsupported:
		if route.ValidDigest(r.Reference) {
			return "No tag was named that could be removed: a digest is the image itself."
		}
		return "This registry cannot remove a tag alone."
	case browse.Off:
		return "The registry does not delete anything: set REGISTRY_STORAGE_DELETE_ENABLED=true there."
	}
	return "The registry did not answer, or with an error. Whether it was deleted is not known."
}
