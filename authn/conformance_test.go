package authn_test

import (
	"testing"

	"gatehouse/authn"
	"gatehouse/authn/authntest"

	"golang.org/x/crypto/bcrypt"
)

// TestConformance runs the suite on the people of a config.
func TestConformance(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte(authntest.Password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	static, err := authn.NewStatic(authn.StaticConfig{Name: "local", Users: []authn.StaticUser{
		{Username: "Mozart", PasswordHash: authn.Secret(hash), Groups: []string{"Pianists", "composers"}}}})
	if static == nil {
		t.Fatal(err)
	}
	authntest.Conformance(t, authntest.Subject{Directory: static, Login: "mozart", Username: "mozart",
		Password: authntest.Password, Groups: []string{"composers", "pianists"}})
}
