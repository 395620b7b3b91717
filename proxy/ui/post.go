package ui

import (
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"gatehouse/proxy/listener"
	"gatehouse/proxy/route"
)

const (
	formType = "application/x-www-form-urlencoded"
	maxForm  = 64 << 10 // bytes
)

// checkOrigin refuses a form that a page of another site sent, and whatever cannot show
// that it came from ours: browsers say so in Sec-Fetch-Site or in Origin. An empty field says
// nothing.
func checkOrigin(protection *http.CrossOriginProtection, r *http.Request, at listener.Origin) error {
	site, origin := r.Header["Sec-Fetch-Site"], r.Header["Origin"]
	if r.Header.Get("Sec-Fetch-Site") == "" && len(origin) == 0 || len(site) > 1 || len(origin) > 1 {
		return refused()
	}
	if len(origin) == 1 && !sameOrigin(origin[0], at) {
		return refused()
	}
	seen := *r
	seen.Host = at.Host // which may be another behind a proxy
	if len(origin) == 1 {
		_, seen.Host, _ = strings.Cut(origin[0], "://") // the same, as it is written there
	}
	if protection.Check(&seen) != nil {
		return refused()
	}
	return nil
}

// sameOrigin reports whether an Origin field is ours: scheme, host and port.
func sameOrigin(field string, at listener.Origin) bool {
	u, err := url.Parse(field)
	return err == nil && u.Scheme == at.Scheme && u.Scheme+"://"+u.Host == field && route.CanonicalHost(u.Scheme, u.Host) == route.CanonicalHost(at.Scheme, at.Host)
}

// readForm reads a form of ours, in which each field but ref and digest stands once.
func readForm(r *http.Request) (url.Values, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != formType {
		return nil, &Fault{Status: http.StatusUnsupportedMediaType, Code: "UNSUPPORTED", Message: "Forms are sent as " + formType + "."}
	}
	if r.ContentLength > maxForm {
		return nil, tooLarge()
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, maxForm+1))
	switch {
	case err != nil:
		return nil, &Fault{Status: http.StatusBadRequest, Code: "UNSUPPORTED", Message: "The form did not come whole.", Cause: err}
	case len(text) > maxForm:
		return nil, tooLarge()
	}
	values, err := url.ParseQuery(string(text))
	if err != nil {
		return nil, badRequest("The form is malformed.")
	}
	for key, list := range values {
		if len(list) > 1 && key != "ref" && key != "digest" || len(list) > maxRefs {
			return nil, badRequest("A field of the form stands twice, or too often.")
		}
		for _, v := range list {
			if !utf8.ValidString(v) && key != "password" {
				return nil, badRequest("A field of the form is no text.")
			}
		}
	}
	return values, nil
}

func tooLarge() *Fault {
	return &Fault{Status: http.StatusRequestEntityTooLarge, Code: "SIZE_INVALID", Message: "The form is larger than 64 KiB."}
}
