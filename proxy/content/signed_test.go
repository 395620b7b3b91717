package content

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// signedOf is a manifest of Docker's schema 1 as distribution formats it, and the digest that it has.
func signedOf(name, protected string) (body, digest string) {
	const tail = "\n}"
	head := fmt.Sprintf("{\n   \"schemaVersion\": 1,\n   \"name\": %q", name)
	if protected == "" {
		protected = fmt.Sprintf(`{"formatLength":%d,"formatTail":%q,"time":"2026-11-27T17:43:04Z"}`, len(head), base64.RawURLEncoding.EncodeToString([]byte(tail)))
	}
	body = fmt.Sprintf("%s,\n   \"signatures\": [{\"header\": {\"alg\": \"ES256\"}, \"signature\": \"x\", \"protected\": %q}]\n}", head, base64.RawURLEncoding.EncodeToString([]byte(protected)))
	return body, digestOf("sha256", []byte(head+tail))
}

// TestSigned: of a manifest of Docker's schema 1 the digest is that of what was signed; with another one
// nobody gets it, for all that its type says, and neither is kept.
func TestSigned(t *testing.T) {
	good, digest := signedOf("team/a", "")
	other, otherDigest := signedOf("team/b", "")
	bare := `{"schemaVersion": 1}`
	with := func(protected string) string { body, _ := signedOf("team/a", protected); return body }
	for what, c := range map[string]struct {
		asked string // "v1" is a tag
		named string
		body  string
		right bool
	}{
		"by digest":                        {digest, digest, good, true},
		"by digest, unnamed":               {digest, "", good, true},
		"by digest of all of it":           {digestOf("sha256", []byte(good)), "", good, true},
		"by tag":                           {"v1", digest, good, true},
		"by tag, unnamed":                  {"v1", "", good, true},
		"without a signature":              {digestOf("sha256", []byte(bare)), "", bare, true},
		"without a signature, another":     {digest, "", bare, false},
		"another":                          {digest, digest, other, false},
		"another, named so":                {digest, otherDigest, other, false},
		"another by tag":                   {"v1", digest, other, false},
		"no manifest at all":               {digest, digest, "signed", false},
		"an end cut off":                   {digest, digest, good[:len(good)-1], false},
		"a length below 0":                 {digest, digest, with(`{"formatLength":-1,"formatTail":"Cn0"}`), false},
		"a length above all":               {digest, digest, with(`{"formatLength":99999,"formatTail":"Cn0"}`), false},
		"a tail that is none":              {digest, digest, with(`{"formatLength":45,"formatTail":"*"}`), false},
		"what is protected is none":        {digest, digest, with(`{`), false},
		"what is protected is not encoded": {digest, digest, `{"signatures":[{"protected":"*"}]}`, false},
		"no signatures":                    {digest, digest, `{"signatures":[]}`, false},
		"no text of it":                    {digest, digest, with(`{}`), false},
	} {
		for _, type1 := range []string{"prettyjws", "json", "prettyjws; charset=utf-8"} {
			t.Run(what+", "+type1, func(t *testing.T) {
				cache, r := said(t)
				r.answer = func(Question) (*Answer, error) {
					h := Header{"Content-Type": {"application/vnd.docker.distribution.manifest.v1+" + type1}, "Content-Length": {fmt.Sprint(len(c.body))}}
					if c.named != "" {
						h["Docker-Content-Digest"] = []string{c.named}
					}
					return &Answer{Status: 200, Header: h, Body: io.NopCloser(strings.NewReader(c.body))}, nil
				}
				for range 2 { // the second one within the minute after a wrong one
					q := r.request("a", c.asked)
					q.Accept = []string{"application/vnd.docker.distribution.manifest.v1+prettyjws, application/vnd.docker.distribution.manifest.v1+json"}
					got := cache.Get(t.Context(), q)
					var body []byte
					switch {
					case got.Entry != nil:
						body = got.Entry.Body
					case got.Answer != nil:
						body, _ = io.ReadAll(got.Answer.Body)
						if n := got.Answer.Header.length(); n != int64(len(body)) {
							t.Errorf("%d bytes, said to be %d", len(body), n)
						}
					}
					got.Answer.Close()
					if right := string(body) == c.body; right != c.right || !c.right && (body != nil || !errors.Is(got.Err, ErrMismatch)) {
						t.Errorf("%q, %v", body, got.Err)
					}
				}
				if s := cache.Status(); s.Memory.Entries+s.Standings+s.Tags > 0 {
					t.Errorf("kept: %+v", s)
				}
			})
		}
	}
}
