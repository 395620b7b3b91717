package browse

import (
	"errors"
	"slices"
	"testing"
	"time"
)

var someDay = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// TestTags: orders, search, pages, hidden tags.
func TestTags(t *testing.T) {
	d := newDouble(t)
	for i, tag := range []string{"1.9", "1.10", "1.10-rc1", "latest", "2.0"} {
		d.image("team/app", tag, "linux/amd64", someDay.AddDate(0, 0, -i), 10)
	}
	d.tag("team/app", "sha256-ab.sig", "sha256:x")
	l := d.library(t)
	for _, c := range []struct {
		q    TagQuery
		want string
	}{
		{TagQuery{}, "latest 2.0 1.10 1.10-rc1 1.9"},
		{TagQuery{Ascending: true}, "1.9 1.10-rc1 1.10 2.0 latest"},
		{TagQuery{Sort: "name", Ascending: true}, "1.10 1.10-rc1 1.9 2.0 latest"},
		{TagQuery{Sort: "built"}, "1.9 1.10 1.10-rc1 latest 2.0"},
		{TagQuery{Search: "1.10"}, "1.10 1.10-rc1"},
		{TagQuery{Search: "1.10", Size: 1, Page: 2}, "1.10-rc1"},
		{TagQuery{Search: "-RC"}, "1.10-rc1"},
		{TagQuery{All: true, Search: "sig"}, "sha256-ab.sig"},
	} {
		c.q.Repository, c.q.Size = "team/app", max(c.q.Size, 50*(1-c.q.Size))
		list, err := d.visit(l, "bob").Tags(t.Context(), c.q)
		if err != nil || tagsIn(list) != c.want || list.Hidden != 1 || list.Tags != 5 || list.Newest != "2.0" {
			t.Errorf("%+v: %q %+v %v", c.q, tagsIn(list), list, err)
		}
	}
	if list, err := d.visit(l, "eve").Tags(t.Context(), TagQuery{Repository: "team/app"}); !errors.As(err, new(*Denied)) {
		t.Errorf("eve: %+v %v", list, err)
	}
	if _, err := d.visit(l, "bob").Tags(t.Context(), TagQuery{Repository: "team/none"}); !errors.Is(err, ErrAbsent) {
		t.Errorf("of none: %v", err)
	}
}

// TestTagRow: what a tag names, and what else names the same.
func TestTagRow(t *testing.T) {
	d := newDouble(t)
	amd := d.image("team/app", "", "linux/amd64", someDay, 1000)
	arm := d.image("team/app", "", "linux/arm64/v8", someDay, 2000)
	attestation := child("sha256:"+amd[7:], "unknown/unknown")
	attestation["annotations"] = object{"vnd.docker.reference.type": "attestation-manifest"}
	all := d.index("team/app", "2.0", child(arm, "linux/arm64/v8"), child(amd, "linux/amd64"), attestation)
	d.tag("team/app", "latest", all)
	list, err := d.visit(d.library(t), "bob").Tags(t.Context(), TagQuery{Repository: "team/app", Size: 9})
	if err != nil || tagsIn(list) != "latest 2.0" {
		t.Fatal(list, err)
	}
	row := list.Rows[1]
	if row.State != Ready || row.Digest != all || row.Kind != IndexKind || !slices.Equal(row.Platforms, []string{"linux/arm64/v8", "linux/amd64"}) || row.Attestations != 1 ||
		row.SizeOf != "linux/amd64" || row.Size < 1000 || row.Size >= 2000 || !row.Built.Equal(someDay) || !slices.Equal(row.Also, []string{"latest"}) || row.Deletable {
		t.Errorf("%+v", row)
	}
}

// TestWarm: within 30 s nothing is asked again, unless something changed there.
func TestWarm(t *testing.T) {
	d := newDouble(t)
	d.image("team/app", "1", "linux/amd64", someDay, 10)
	l := d.library(t)
	look := func(user string, requests int) {
		t.Helper()
		if _, err := d.visit(l, user).Tags(t.Context(), TagQuery{Repository: "team/app", Size: 9}); err != nil {
			t.Fatal(err)
		}
		if asked := d.requests(); len(asked) != requests {
			t.Errorf("asked %q", asked)
		}
	}
	look("alice", 3)
	look("bob", 0)
	l.Pushed("here", "team/other")
	look("bob", 0)
	l.Pushed("here", "team/app")
	look("bob", 2) // the tags and what the tag names; its content is known
}
