package ldap_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gatehouse/authn"
	"gatehouse/authn/authntest"
	"gatehouse/authn/ldap"
)

// domainSID is S-1-5-21-1-2-3; sid names something in that domain.
const domainSID = "\x01\x04\x00\x00\x00\x00\x00\x05\x15\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00"

func sid(rid uint32) string {
	return "\x01\x05" + domainSID[2:] + string(binary.LittleEndian.AppendUint32(nil, rid))
}

const adUsers, adGroups = "cn=Users,dc=ad,dc=test", "ou=Groups,dc=ad,dc=test"

// adConfig is a directory on f, which plays a domain controller: frank's primary
// group is Domain Users; the person is in devs, which is in staff.
func adConfig(f *authntest.Fake) ldap.Config {
	const frank, devs = "cn=Frank,ou=People,dc=ad,dc=test", "cn=devs," + adGroups
	f.Put("dc=ad,dc=test", nil)
	f.Put("ou=People,dc=ad,dc=test", nil)
	f.Put(adGroups, nil)
	f.Put(frank, map[string][]string{"sAMAccountName": {"Frank"}, "objectGUID": {"0123456789abcdef"},
		"objectCategory": {"person"}, "objectClass": {"user"}, "userAccountControl": {"512"}, "pwdLastSet": {"134000000000000000"},
		"objectSid": {sid(1103)}, "primaryGroupID": {"513"}, "memberOf": {"CN=devs," + adGroups},
		"base:tokenGroups": {sid(1200), sid(1201), sid(513), "\x01\x02\x00\x00\x00\x00\x00\x05\x20\x00\x00\x00\x21\x02\x00\x00"}})
	f.Put("cn=Domain Users,"+adUsers, map[string][]string{"cn": {"Domain Users"}, "objectClass": {"group"}, "objectSid": {sid(513)}})
	f.Put(devs, map[string][]string{"cn": {"Devs"}, "objectClass": {"group"}, "objectSid": {sid(1200)}, "member": {frank}})
	f.Put("cn=staff,"+adGroups, map[string][]string{"cn": {"staff"}, "objectClass": {"group"}, "objectSid": {sid(1201)}, "member": {devs}})
	cfg := faultConfig(f)
	cfg.Preset, cfg.Users.Filter, cfg.Users.Base = "ad", "", "ou=People,dc=ad,dc=test"
	return cfg
}

// TestADGroups: in each way of asking, the primary group is there, and nested
// ones where they are wanted.
func TestADGroups(t *testing.T) {
	for name, test := range map[string]struct {
		change   func(*ldap.Config)
		want     []string
		searches int
	}{
		"memberOf": {func(*ldap.Config) {}, []string{"devs", "domain users"}, 2},
		"by search": {func(c *ldap.Config) { c.Groups = &ldap.Groups{Base: "dc=ad,dc=test"} },
			[]string{"devs", "domain users"}, 3},
		"by search, a part of the domain": {func(c *ldap.Config) { c.Groups = &ldap.Groups{Base: adGroups} },
			[]string{"devs"}, 3},
		"tokenGroups": {func(c *ldap.Config) { c.Groups = &ldap.Groups{Base: "dc=ad,dc=test", Nested: true} },
			[]string{"devs", "domain users", "staff"}, 3},
		"tokenGroups, a part of the domain": {func(c *ldap.Config) { c.Groups = &ldap.Groups{Base: adGroups, Nested: true} },
			[]string{"devs", "staff"}, 3},
		"an own filter, level by level": {func(c *ldap.Config) {
			c.Groups = &ldap.Groups{Base: "dc=ad,dc=test", Nested: true, Filter: "(member={dn})"}
		}, []string{"devs", "domain users", "staff"}, 5},
	} {
		t.Run(name, func(t *testing.T) {
			f := authntest.StartFake(t)
			cfg := adConfig(f)
			test.change(&cfg)
			id, err := open(t, cfg).Find(t.Context(), "frank")
			if err != nil || id.Username != "frank" || !slices.Equal(names(id.Groups), test.want) {
				t.Errorf("%s is in %q, %v; want %q", id.Username, names(id.Groups), err, test.want)
			}
			if got := f.Count("search"); got != test.searches {
				t.Errorf("%d searches, want %d", got, test.searches)
			}
		})
	}
}

// TestADIncomplete: groups that could not be seen whole are a fault, never fewer groups.
func TestADIncomplete(t *testing.T) {
	const frank = "cn=Frank,ou=People,dc=ad,dc=test"
	many := func(prefix string) (values []string) {
		for i := range 1002 {
			values = append(values, fmt.Sprintf(prefix, i))
		}
		return values
	}
	person := func(more map[string][]string) map[string][]string {
		all := map[string][]string{"sAMAccountName": {"frank"}, "objectGUID": {"0123456789abcdef"},
			"objectCategory": {"person"}, "objectClass": {"user"}, "objectSid": {sid(1103)}, "primaryGroupID": {"513"}}
		for name, values := range more {
			all[name] = values
		}
		return all
	}
	for name, test := range map[string]struct {
		change func(*authntest.Fake, *ldap.Config)
		want   string
	}{
		"no tokenGroups": {func(f *authntest.Fake, c *ldap.Config) {
			c.Groups = &ldap.Groups{Base: "dc=ad,dc=test", Nested: true}
			f.Put(frank, person(nil))
		}, "no tokenGroups"},
		"a part of tokenGroups": {func(f *authntest.Fake, c *ldap.Config) {
			c.Groups = &ldap.Groups{Base: "dc=ad,dc=test", Nested: true}
			f.Put(frank, person(map[string][]string{"tokenGroups;range=0-1": {sid(1200), sid(1201)}}))
		}, "only a part of tokenGroups"},
		"too many in tokenGroups": {func(f *authntest.Fake, c *ldap.Config) {
			c.Groups = &ldap.Groups{Base: "dc=ad,dc=test", Nested: true}
			f.Put(frank, person(map[string][]string{"tokenGroups": many("sid%d")}))
		}, "more than 1000 groups"},
		"a part of memberOf": {func(f *authntest.Fake, _ *ldap.Config) {
			f.Put(frank, person(map[string][]string{"memberOf": {}, "memberOf;Range=0-1499": {"cn=devs," + adGroups}}))
		}, "only a part of memberOf"},
		"too many in memberOf": {func(f *authntest.Fake, _ *ldap.Config) {
			f.Put(frank, person(map[string][]string{"memberOf": many("cn=g%d,dc=x")}))
		}, "more than 1000 groups"},
		"no primary group": {func(f *authntest.Fake, _ *ldap.Config) {
			f.Put(frank, person(map[string][]string{"primaryGroupID": {}}))
		}, "no objectSid and primaryGroupID"},
		"a malformed SID": {func(f *authntest.Fake, _ *ldap.Config) {
			f.Put(frank, person(map[string][]string{"objectSid": {"\x01\x05\x00"}}))
		}, "malformed"},
		"the server's size limit": {func(f *authntest.Fake, c *ldap.Config) {
			c.Groups = &ldap.Groups{Base: "dc=ad,dc=test"}
			f.Put("cn=devs2,"+adGroups, map[string][]string{"cn": {"devs2"}, "objectClass": {"group"}, "member": {frank}})
			f.Limit(1)
		}, "Size Limit Exceeded"},
		"the groups' base is gone": {func(f *authntest.Fake, c *ldap.Config) {
			c.Groups = &ldap.Groups{Base: "ou=nowhere,dc=ad,dc=test"}
		}, "No Such Object"},
	} {
		t.Run(name, func(t *testing.T) {
			f := authntest.StartFake(t)
			cfg := adConfig(f)
			test.change(f, &cfg)
			id, err := open(t, cfg).Find(t.Context(), "frank")
			if !errors.Is(err, authn.ErrUnavailable) || errors.Is(err, authn.ErrUnknownUser) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%+v, %v; want a fault: %s", id, err, test.want)
			}
		})
	}
}
