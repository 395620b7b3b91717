package ui

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"

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

// targets are what the page is about.
func (u *UI) targets(c *Call) ([]browse.Target, error) {
	if !u.o.Config.Delete || len(c.target.query["ref"]) == 0 {
		return nil, notFound()
	}
	var list []browse.Target
	for _, text := range c.target.query["ref"] {
		t, err := reference(text)
		if err != nil {
			return nil, badRequest("Each ref is REPOSITORY:TAG or REPOSITORY@DIGEST.")
		}
		list = append(list, browse.Target{Repository: t.repository, Reference: t.reference})
	}
	return list, nil
}

// deletePage tells what would go; fault is why it has not.
func (u *UI) deletePage(w http.ResponseWriter, r *http.Request, c *Call, fault *Fault) error {
	list, err := u.targets(c)
	switch {
	case err != nil:
		return err
	case c.visitor.identity.Anonymous():
		u.toLogin(w, c)
		return nil
	}
	v := deleteView{Plans: u.visit(c).Plans(r.Context(), list), Target: c.target.canonical(), Fault: fault}
	if !slices.ContainsFunc(v.Plans, func(p browse.Plan) bool { return p.State != browse.Absent }) {
		return notFound()
	}
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
	list, err := u.targets(c)
	what, shown := form.Get("what"), form["digest"]
	switch {
	case err != nil:
		return err
	case c.visitor.identity.Anonymous():
		u.toLogin(w, c)
		return nil
	case what != "tag" && what != "image":
		return u.deletePage(w, r, c, &Fault{Status: http.StatusUnprocessableEntity, Code: "UNSUPPORTED", Message: "Choose whether the tag or the image is to go. Nothing was deleted."})
	case u.frozen(list) != "":
		return u.deletePage(w, r, c, &Fault{Status: http.StatusServiceUnavailable, Code: "UNAVAILABLE", Message: "Pushes and deletes are stopped for now: " + u.frozen(list)})
	case form.Get("confirm") != confirmation(list):
		return u.deletePage(w, r, c, &Fault{Status: http.StatusUnprocessableEntity, Code: "UNSUPPORTED", Message: "What you typed is not “" + confirmation(list) + "”. Nothing was deleted."})
	case len(shown) > 0 && len(shown) != len(list):
		return badRequest("The form has not one digest for each image.")
	}
	orders := make([]browse.Order, len(list))
	for i, t := range list {
		orders[i] = browse.Order{Target: t, Image: what == "image"}
		if len(shown) > 0 {
			orders[i].Shown = shown[i]
		}
	}
	return u.showDelete(w, r, c, report(u.visit(c).Delete(r.Context(), orders)), list)
}

// frozen is why some of it cannot be deleted now; empty: nothing is against it.
func (u *UI) frozen(list []browse.Target) string {
	for _, t := range list {
		if reason := u.closed(t.Repository); reason != "" {
			return plain(reason)
		}
	}
	return ""
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
		return "Not deleted: the tag names another image by now than the one that was shown to you."
	case browse.Unsupported:
		return "This registry cannot remove a tag alone."
	case browse.Off:
		return "The registry does not delete anything: set REGISTRY_STORAGE_DELETE_ENABLED=true there."
	}
	return "The registry did not answer, or with an error. Whether it was deleted is not known."
}
