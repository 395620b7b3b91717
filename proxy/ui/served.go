package ui

import (
	"cmp"
	"net/http"
	"slices"
)

// endsSoon is how long before its end a certificate is marked.
const endsSoon = 14 * day

// configPage shows which config is served.
func (u *UI) configPage(w http.ResponseWriter, r *http.Request, c *Call) error {
	v := u.o.Inside().Config
	v.Certificates = slices.SortedFunc(slices.Values(v.Certificates), func(a, b Certificate) int {
		return cmp.Or(a.Ends.Compare(b.Ends), cmp.Compare(a.Name, b.Name))
	})
	for i := range v.Certificates {
		v.Certificates[i].Soon = v.Certificates[i].Ends.Sub(u.now()) < endsSoon
	}
	f := u.frame(r, c, atConfig, "Config")
	f.Content = v
	return u.show(w, r, f, "config")
}
