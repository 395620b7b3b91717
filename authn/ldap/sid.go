package ldap

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"gatehouse/authn"
	"strconv"

	"github.com/go-ldap/ldap/v3"
)

// Active Directory knows groups that no memberOf and no member names: the
// primary group ("Domain Users") is a number in the person's entry. And it has
// already worked out, in tokenGroups, all groups of a person however nested,
// the primary one among them. Both speak of groups by SID ([MS-DTYP] 2.4.2.2),
// which a search for objectSid semaphore into entries.

// sids are the groups of the person of entry that Active Directory names by SID;
// none for other servers.
func (r *groupReader) sids(ctx context.Context, entry *ldap.Entry) ([][]byte, error) {
	switch {
	case r.byToken:
		return r.tokenGroups(ctx, entry.DN)
	case r.ad:
		return primaryGroup(entry)
	}
	return nil, nil
}

// tokenGroups reads the attribute, which only a search for the one entry shows.
// Everybody has a primary group, so that nothing at all is a fault.
func (r *groupReader) tokenGroups(ctx context.Context, dn string) ([][]byte, error) {
	result, err := r.search(ctx, ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases,
		1, r.timeLimit, false, "(objectClass=*)", []string{"tokenGroups"}, nil))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading tokenGroups: %w", err)
	case len(result.Entries) != 1:
		return nil, errors.New("reading tokenGroups: the entry is not readable")
	}
	sids, err := completeValues(result.Entries[0], "tokenGroups")
	switch {
	case err != nil:
		return nil, err
	case len(sids) == 0:
		return nil, errors.New("the server shows no tokenGroups: it is no domain controller, or the service account may not read them")
	case len(sids) > groupsMax:
		return nil, fmt.Errorf("%w: more than %d groups of one person", authn.ErrUnusable, groupsMax)
	}
	return sids, nil
}

// primaryGroup is the SID of the group that primaryGroupID names within the
// person's own domain, whose SID is all of the person's but the last part.
func primaryGroup(entry *ldap.Entry) ([][]byte, error) {
	sid, rid := entry.GetEqualFoldRawAttributeValue("objectSid"), entry.GetEqualFoldAttributeValue("primaryGroupID")
	if len(sid) == 0 || rid == "" {
		return nil, errors.New("the entry shows no objectSid and primaryGroupID: the server is no domain controller, or the service account may not read them")
	}
	number, err := strconv.ParseUint(rid, 10, 32)
	if err != nil || !validSID(sid) {
		return nil, fmt.Errorf("objectSid or primaryGroupID of %s is malformed", entry.DN)
	}
	domain := sid[:len(sid)-4]
	return [][]byte{binary.LittleEndian.AppendUint32(domain[:len(domain):len(domain)], uint32(number))}, nil
}

// validSID says that the length is the one which the count of parts tells.
func validSID(sid []byte) bool {
	return len(sid) >= 12 && sid[0] == 1 && len(sid) == 8+4*int(sid[1])
}
