package workload

import (
	"slices"
	"testing"

	"gatehouse/authn"
)

// TestLacks: claims give no people, any machine, and the groups of the workloads; one with
// a claim in it may be any.
func TestLacks(t *testing.T) {
	ask := []authn.Named{{Kind: authn.Person, Name: "octo/app"}, {Kind: authn.GroupName, Name: "ci"}, {Kind: authn.GroupName, Name: "ghosts"},
		{Kind: authn.GroupDN, Name: "cn=ci"}, {Kind: authn.MachineName, Name: "octo/app"}}
	one := Workload{Match: match("repository", "octo/*"), Name: "{repository}", Groups: []string{"CI"}}
	if got := mapping(t, Form{}, one).Lacks(ask); !slices.Equal(got, []authn.Named{ask[0], ask[2], ask[3]}) {
		t.Errorf("%v", got)
	}
	two := one
	two.Groups = []string{"team-{actor}"}
	if got := mapping(t, Form{}, one, two).Lacks(ask); !slices.Equal(got, []authn.Named{ask[0], ask[3]}) {
		t.Errorf("with a claim: %v", got)
	}
}
