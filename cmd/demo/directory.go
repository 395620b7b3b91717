package main

import (
	"fmt"

	"gatehouse/authn/authntest"
)

// The names that main.go puts into the gateway's config.
const (
	suffix         = "dc=example,dc=com"
	musiciansBase  = "ou=musicians," + suffix
	serviceAccount = "uid=serviceaccount,ou=it," + suffix
	password       = "password" // everybody's
)

// startDirectory serves the musicians on a free port of 127.0.0.1: two people who may
// log in, two who may not, and the account that the gateway searches with.
func startDirectory() (*authntest.Fake, error) {
	directory, err := authntest.NewFake()
	if err != nil {
		return nil, err
	}
	for _, unit := range []string{"musicians", "philosophs", "it", "groups"} {
		directory.Put("ou="+unit+","+suffix, map[string][]string{"objectClass": {"top", "organizationalUnit"}, "ou": {unit}})
	}
	for i, p := range people {
		directory.Put(p.dn(), p.attributes(i+1))
	}
	for name, members := range groups {
		directory.Put(groupDN(name), map[string][]string{"objectClass": {"top", "groupOfNames"}, "cn": {name}, "member": members})
	}
	return directory, nil
}

// person is somebody in an organizational unit.
type person struct{ uid, given, family, unit string }

var people = []person{
	{"mozart", "Wolfgang Amadeus", "Mozart", "musicians"},
	{"bach", "Johann Sebastian", "Bach", "musicians"},
	{"schopenhauer", "Arthur", "Schopenhauer", "philosophs"},
	{"kant", "Immanuel", "Kant", "philosophs"},
	{"serviceaccount", "Service", "Account", "it"},
}

// groups are the DNs of each group's members, by its name.
var groups = map[string][]string{
	"composers": {people[0].dn(), people[1].dn()},
	"pianists":  {people[0].dn()},
	"thinkers":  {people[2].dn(), people[3].dn()},
}

func (p person) dn() string { return "uid=" + p.uid + ",ou=" + p.unit + "," + suffix }

func groupDN(name string) string { return "cn=" + name + ",ou=groups," + suffix }

// attributes are a person's, as OpenLDAP shows them; n makes the entryUUID.
func (p person) attributes(n int) map[string][]string {
	all := map[string][]string{
		"objectClass":    {"top", "person", "organizationalPerson", "inetOrgPerson"},
		"uid":            {p.uid},
		"cn":             {p.given + " " + p.family},
		"givenName":      {p.given},
		"sn":             {p.family},
		"mail":           {p.uid + "@example.com"},
		"userPassword":   {password},
		"entryUUID":      {fmt.Sprintf("5ba1a4e2-0000-4000-8000-%012d", n)},
		"pwdChangedTime": {"20240101000000Z"},
	}
	for name, members := range groups {
		for _, member := range members {
			if member == p.dn() {
				all["memberOf"] = append(all["memberOf"], groupDN(name))
			}
		}
	}
	return all
}
