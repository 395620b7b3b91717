package authn

import (
	"slices"
	"testing"
)

// TestStaticLacks: the config has all people and groups that there are.
func TestStaticLacks(t *testing.T) {
	s, err := NewStatic(StaticConfig{Name: "local", Users: []StaticUser{
		{Username: "Mozart", PasswordHash: "$2a$12$mWnrZPtcevI4Y8j7cYXj4Od7EgIe.wLFJtdPLSoAVOiL6rYJXhGLq", Groups: []string{"Composers"}}}})
	if s == nil {
		t.Fatal(err)
	}
	want := []Named{{Person, "composers"}, {Person, "ghost"}, {GroupName, "mozart"}, {GroupDN, "cn=composers"}, {MachineName, "mozart"}}
	ask := append(slices.Clone(want), Named{Person, "mozart"}, Named{GroupName, "composers"}, want[1])
	if got, err := s.Lacks(t.Context(), ask); err != nil || !slices.Equal(got, want) {
		t.Errorf("%v %v, want %v", got, err, want)
	}
}
