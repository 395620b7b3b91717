package browse

import (
	"fmt"
	"testing"

	"gatehouse/authz"
)

// BenchmarkRepositories is a page of 10,000 repositories under 400 rules.
func BenchmarkRepositories(b *testing.B) {
	var rules []authz.Rule
	for i := range 400 {
		rules = append(rules, authz.Rule{Position: fmt.Sprint("gatehouse.yaml:", i), Allow: []string{"pull", "push"}, Repositories: []string{fmt.Sprintf("team-%02d/service-%05d/**", i%100, i)}, To: []string{"user:alice", fmt.Sprint("group:g", i)}})
	}
	rules = append(rules, authz.Rule{Position: "gatehouse.yaml:999", Allow: []string{"pull"}, Repositories: []string{"**"}, To: []string{"authenticated"}})
	d := newDouble(b, rules...)
	for i := range 10_000 {
		d.extra = append(d.extra, fmt.Sprintf("team-%02d/service-%05d/app", i%100, i))
	}
	l := d.library(b)
	for name, q := range map[string]RepositoryQuery{"top": {}, "search": {Search: "-099"}, "folder": {Folder: "team-07"}, "rights": {Right: authz.Push}} {
		q.Size = 50
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if list, err := d.visit(l, "alice").Repositories(b.Context(), q); err != nil || list.Total == 0 {
					b.Fatal(list, err)
				}
			}
		})
	}
}

// BenchmarkTags is a page of 5,000 tags of which all is known.
func BenchmarkTags(b *testing.B) {
	d := newDouble(b)
	for i := range 5000 {
		d.image("team/app", fmt.Sprintf("%d.%d.%d", i/1000, i/50%20, i%50), "linux/amd64", someDay.AddDate(0, 0, i), 10)
	}
	l := d.library(b)
	for _, q := range []TagQuery{{}, {Sort: "name"}, {Sort: "built"}, {Search: "1.1"}} {
		q.Repository, q.Size = "team/app", 50
		b.Run(q.Sort+q.Search, func(b *testing.B) {
			for b.Loop() {
				if list, err := d.visit(l, "bob").Tags(b.Context(), q); err != nil || list.Total == 0 {
					b.Fatal(list, err)
				}
			}
		})
	}
}
