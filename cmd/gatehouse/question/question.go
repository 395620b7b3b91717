// Package question reads questions to a policy, as the command line or a file of
// tests asks them, and runs such files.
package question

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/authn"
	"gatehouse/authn/workload"
	"gatehouse/authz"
	"gatehouse/cmd/gatehouse/config"
)

// NoDirectory stands for the directory of somebody who is described without one. It is
// no legal name, so no rule can speak of it, and the person is not the anonymous caller
// either.
const NoDirectory = "(none)"

// Question is whether somebody may do something.
type Question struct {
	User      string   `yaml:"user"`      // a name; "-" is the anonymous caller
	Machine   string   `yaml:"-"`         // instead of a user: DIRECTORY/NAME
	Claims    []string `yaml:"-"`         // of the machine: NAME=VALUE
	Directory string   `yaml:"directory"` // the user's; empty: none
	Groups    []string `yaml:"groups"`    // names or full DNs
	IP        string   `yaml:"ip"`        // the client's address; empty: left open
	At        string   `yaml:"at"`        // the time, as in a rule; empty: now
	Action    string   `yaml:"action"`    // pull, push, create, overwrite or delete
	Ref       string   `yaml:"ref"`       // REPOSITORY[:TAG]
}

// Asked is a question that was read.
type Asked struct {
	Identity authn.Identity // of a person as described; directories may know better
	Claims   map[string]any // of a machine; none: those of the config count
	Request  authz.Request
}

// Described reports whether the question says who the user is, so that no directory
// need be asked.
func (q *Question) Described() bool { return len(q.Groups) > 0 || q.Directory != "" }

// Parse reads the question. Where ip, at, groups or claims is at fault the error is an
// *authn.KeyError with that key; otherwise its text names what is wrong.
func (q *Question) Parse() (a Asked, err error) {
	switch {
	case q.Machine == "" && len(q.Claims) > 0:
		err = &authn.KeyError{Key: "claim", Err: errors.New("claims are a machine's: give --machine too")}
	case q.Machine == "":
		a.Identity, err = q.identity()
	case q.Described():
		err = errors.New("a machine (--machine) stands without --group and --directory: the config has its groups")
	default:
		if a.Claims, err = workload.ParseClaims(q.Claims); err != nil {
			err = &authn.KeyError{Key: "claim", Err: err}
		}
	}
	if err != nil {
		return a, err
	}
	switch a.Request.Action = authz.Action(q.Action); a.Request.Action {
	case authz.Pull, authz.Push, authz.Delete, authz.Create, authz.Overwrite:
	default:
		return a, fmt.Errorf("ACTION must be pull, push, create, overwrite or delete, not %q", config.Clip(q.Action))
	}
	repository, tag, tagged := strings.Cut(q.Ref, ":")
	if a.Request.Repository = repository; !authz.ValidRepository(repository) {
		return a, fmt.Errorf("%q is not a repository name", config.Clip(repository))
	}
	if tagged && !authz.ValidTag(tag) {
		return a, fmt.Errorf("%q is not a tag", config.Clip(tag))
	}
	if tagged {
		a.Request.Tags = []string{tag}
	}
	return a, q.circumstances(&a.Request)
}

// circumstances are where and when it is asked.
func (q *Question) circumstances(r *authz.Request) error {
	if q.IP != "" {
		address, err := netip.ParseAddr(q.IP)
		if err != nil {
			return &authn.KeyError{Key: "ip", Err: fmt.Errorf("%q is not an address", config.Clip(q.IP))}
		}
		r.Source = address.Unmap().WithZone("")
	}
	if q.At != "" {
		var err error
		if r.At, _, err = authz.ParseTime(q.At); err != nil {
			return &authn.KeyError{Key: "at", Err: err}
		}
	}
	return nil
}

func (q *Question) identity() (id authn.Identity, err error) {
	switch {
	case authn.NormalizeName(q.User) == "":
		return id, errors.New("USER is empty; - is the anonymous caller")
	case q.User == "-" && q.Described():
		return id, errors.New("the anonymous caller (-) has no groups and no directory")
	case q.User == "-":
		return id, nil
	}
	id = authn.Identity{Directory: NoDirectory, Username: authn.NormalizeName(q.User)}
	if q.Directory != "" {
		id.Directory = q.Directory
	}
	for _, text := range q.Groups {
		group, err := groupNamed(text)
		if err != nil {
			return id, &authn.KeyError{Key: "group", Err: err}
		}
		id.Groups = append(id.Groups, group)
	}
	return id, nil
}

// groupNamed is a group by its name or its full DN, told apart and spelled as in a
// rule: a `=` before any slash makes a DN.
func groupNamed(text string) (authn.Group, error) {
	if first, _, _ := strings.Cut(text, "/"); !strings.Contains(first, "=") {
		name := authn.NormalizeName(text)
		if name == "" {
			return authn.Group{}, errors.New("a group without a name")
		}
		return authn.Group{Name: name}, nil
	}
	normal, ok := authn.NormalizeDN(text)
	dn, err := ldap.ParseDN(normal)
	if !ok || err != nil || len(dn.RDNs) == 0 {
		return authn.Group{}, fmt.Errorf("%q is not a distinguished name (RFC 4514)", config.Clip(text))
	}
	name := dn.RDNs[0].Attributes[0].Value
	for _, part := range dn.RDNs[0].Attributes {
		if part.Type == "cn" {
			name = part.Value
		}
	}
	return authn.Group{Name: name, DN: normal}, nil
}
