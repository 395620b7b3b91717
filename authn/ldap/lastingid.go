package ldap

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// idAttributes hold what outlives a renaming and differs for a re-created
// entry; the first that an entry has counts.
var idAttributes = []struct {
	name   string
	format func([]byte) string
	bytes  func(string) []byte // format's reverse; nil: the text itself
}{
	{"entryUUID", lowerText, nil}, // RFC 4530
	{"objectGUID", guid, guidBytes},
	{"nsUniqueId", lowerText, nil},
	{"ipaUniqueID", lowerText, nil},
}

func lowerText(value []byte) string { return strings.ToLower(string(value)) }

// guid writes Active Directory's 16 bytes as its tools do ([MS-DTYP] 2.3.4.2).
func guid(b []byte) string {
	if len(b) != 16 {
		return hex.EncodeToString(b)
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", []byte{b[3], b[2], b[1], b[0]}, []byte{b[5], b[4]}, []byte{b[7], b[6]}, b[8:10], b[10:])
}

// guidBytes is what guid has written so; nil: nothing.
func guidBytes(text string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(b) != 16 {
		return nil
	}
	slices.Reverse(b[0:4])
	slices.Reverse(b[4:6])
	slices.Reverse(b[6:8])
	return b
}

// lastingID is the id that the entry shows; "": it shows none.
func lastingID(entry *ldap.Entry) string {
	for _, id := range idAttributes {
		if value := entry.GetEqualFoldRawAttributeValue(id.name); len(value) > 0 {
			return id.format(value)
		}
	}
	return ""
}

// withID is a filter for the entry with a lasting id, whichever attribute that is of.
func withID(id string) string {
	var any strings.Builder
	for _, a := range idAttributes {
		value := ldap.EscapeFilter(id)
		if a.bytes != nil {
			value = escapeBytes(a.bytes(id))
		}
		any.WriteString("(" + a.name + "=" + value + ")")
	}
	return "(|" + any.String() + ")"
}
