package browse

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/authz"
)

// TestRepositories: folders with counts, hits of a search, pages, each caller's own.
func TestRepositories(t *testing.T) {
	d := newDouble(t)
	d.extra = strings.Fields("team team/app team/web/front team/web/back team-x zoo other/deep/er")
	l := d.library(t)
	for _, c := range []struct {
		user  string
		q     RepositoryQuery
		want  string
		total int
	}{
		{"alice", RepositoryQuery{}, "other/(1) team/(3) team team-x zoo", 5},
		{"alice", RepositoryQuery{Folder: "team"}, "team/web/(2) team/app", 2},
		{"alice", RepositoryQuery{Folder: "team/web"}, "team/web/back team/web/front", 2},
		{"alice", RepositoryQuery{Folder: "te"}, "", 0},
		{"alice", RepositoryQuery{Search: "Team/A"}, "team/app", 1},
		{"alice", RepositoryQuery{Search: "eb/"}, "team/web/back team/web/front", 2},
		{"alice", RepositoryQuery{Folder: "team", Search: "o"}, "team/web/front", 1},
		{"alice", RepositoryQuery{Size: 2, Page: 2}, "team team-x", 5},
		{"alice", RepositoryQuery{Size: 2, Page: 9}, "zoo", 5},
		{"alice", RepositoryQuery{Right: authz.Push, Search: "zoo"}, "zoo", 1},
		{"bob", RepositoryQuery{}, "team/(3) team", 2},
		{"bob", RepositoryQuery{Search: "o"}, "team/web/front", 1},
		{"bob", RepositoryQuery{Right: authz.Push}, "", 0},
		{"eve", RepositoryQuery{}, "", 0},
		{"", RepositoryQuery{}, "", 0},
	} {
		if c.q.Size == 0 {
			c.q.Size = 50
		}
		list, err := d.visit(l, c.user).Repositories(t.Context(), c.q)
		if err != nil || names(list) != c.want || list.Total != c.total {
			t.Errorf("%s %+v: %q of %d, want %q of %d (%v)", c.user, c.q, names(list), list.Total, c.want, c.total, err)
		}
	}
	if asked := d.requests(); len(asked) != 1 {
		t.Errorf("the registry was asked %q", asked)
	}
}

// TestRepositoryRow: the match, the rights with their rules, the pager.
func TestRepositoryRow(t *testing.T) {
	d := newDouble(t)
	d.extra = []string{"team/app", "team/apps"}
	list, err := d.visit(d.library(t), "bob").Repositories(t.Context(), RepositoryQuery{Search: "app", Size: 1, Page: 2})
	if err != nil {
		t.Fatal(err)
	}
	row := list.Rows[0]
	if row.Before != "team/" || row.Match != "app" || row.After != "s" || row.Tags != -1 || !slices.Equal(row.Rights, []Right{{authz.Pull, "gatehouse.yaml:2"}}) {
		t.Errorf("%+v", row)
	}
	if list.Pager != (Pager{Total: 2, Page: 2, Pages: 2, From: 2, To: 2}) {
		t.Errorf("%+v", list.Pager)
	}
}

// TestChanges: a push and a delete correct the list at once.
func TestChanges(t *testing.T) {
	d := newDouble(t)
	d.extra, d.delay = []string{"a"}, 0
	d.image("b", "1", "linux/amd64", someDay, 1)
	l := d.library(t)
	look := func(want string) {
		t.Helper()
		if list, err := d.visit(l, "alice").Repositories(context.Background(), RepositoryQuery{Size: 50}); err != nil || names(list) != want {
			t.Errorf("%q, want %q (%v)", names(list), want, err)
		}
	}
	look("a b")
	l.Pushed("here", "c")
	look("a b c")
	l.Deleted("here", "b")
	look("a b c") // it is still there
	delete(d.repositories, "b")
	l.Deleted("here", "b")
	look("a c")
	l.Deleted("here", "c") // which the registry never had
	look("a")
	if n := len(d.requests()); n != 4 {
		t.Errorf("%d requests", n)
	}
}

// TestMostNames: beyond 100,000 names the list is cut, and says so.
func TestMostNames(t *testing.T) {
	d := newDouble(t)
	for i := range mostNames + 1 {
		d.extra = append(d.extra, fmt.Sprintf("team/%06d", i))
	}
	list, err := d.visit(d.library(t), "bob").Repositories(t.Context(), RepositoryQuery{Folder: "team", Size: 10})
	if err != nil || !list.Cut || list.Total != mostNames {
		t.Errorf("%d rows, cut: %t (%v)", list.Total, list.Cut, err)
	}
}

// TestChangesMeanwhile: what is being read while something changes does not count as what was
// read after it.
func TestChangesMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(t)
		d.delay = time.Second / 2
		d.image("a", "1", "linux/amd64", someDay, 1)
		l := d.library(t)
		var repositories *RepositoryList
		var tags *TagList
		go func() {
			repositories, _ = d.visit(l, "alice").Repositories(context.Background(), RepositoryQuery{Size: 9})
		}()
		go func() { tags, _ = d.visit(l, "alice").Tags(context.Background(), TagQuery{Repository: "a", Size: 9}) }()
		synctest.Wait()
		l.Pushed("here", "b")
		l.Pushed("here", "a")
		d.mu.Lock()
		d.answers["GET /v2/a/tags/list"] = reply{status: 200, body: []byte(`{"tags":["1"]}`)} // as it was
		d.mu.Unlock()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if names(repositories) != "a b" || tagsIn(tags) != "1" {
			t.Errorf("%q, %q", names(repositories), tagsIn(tags))
		}
		d.mu.Lock()
		delete(d.answers, "GET /v2/a/tags/list")
		d.mu.Unlock()
		d.image("a", "2", "linux/amd64", someDay, 1)
		if tags, err := d.visit(l, "alice").Tags(context.Background(), TagQuery{Repository: "a", Size: 9}); err != nil || tagsIn(tags) != "2 1" {
			t.Errorf("%q %v", tagsIn(tags), err)
		}
		l.Close()
		synctest.Wait()
	})
}

// TestRefresh: an old list is given out while it is read again, by one reader.
func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(t)
		d.extra = []string{"a"}
		l := d.library(t)
		look := func(want string, requests int) {
			t.Helper()
			list, err := d.visit(l, "alice").Repositories(context.Background(), RepositoryQuery{Size: 9})
			synctest.Wait()
			if asked := d.requests(); err != nil || names(list) != want || len(asked) != requests {
				t.Errorf("%q after %q, want %q (%v)", names(list), asked, want, err)
			}
		}
		look("a", 1)
		d.extra = []string{"a", "b"}
		time.Sleep(59 * time.Second)
		look("a", 0)
		time.Sleep(2 * time.Second)
		slow := make(chan struct{})
		d.wait["GET /v2/_catalog"] = slow
		look("a", 1)
		look("a", 0)
		close(slow)
		synctest.Wait()
		look("a b", 0)
		d.answers["GET /v2/_catalog"] = reply{status: 500}
		time.Sleep(2 * time.Minute)
		look("a b", 1)
		l.Close()
		synctest.Wait()
	})
}
