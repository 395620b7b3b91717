package oidc

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/authn"
	"gatehouse/authn/authntest"
)

// TestExamine: it names the workload that takes a token, or what does not fit.
func TestExamine(t *testing.T) {
	issuer := authntest.StartIssuer(t)
	d := directory(t, testConfig(issuer.URL))
	sign := func(change map[string]any) string {
		return issuer.Sign(t, issuer.Claims(time.Now(), ours, octo(change)))
	}
	good := sign(map[string]any{"jti": "j"})
	if e := d.Examine(t.Context(), good); e.Err != nil || e.Machine != "octo-org/app" || e.Workload != 0 || e.ID != "j" || e.Ends.IsZero() ||
		e.Claims != `{"repository":"octo-org/App","repository_owner_id":"46576199","run_id":7}` {
		t.Errorf("%+v", e)
	}
	if e := d.Examine(t.Context(), sign(map[string]any{"repository": "other/app"})); e.Machine != "" || strings.Join(e.Misfits, " ") != `workloads[0]: repository is "other/app"` || !errors.Is(e.Err, authn.ErrMismatchedToken) {
		t.Errorf("%+v", e)
	}
	if e := d.Examine(t.Context(), sign(map[string]any{"aud": "x"})); e.Machine != "octo-org/app" || !strings.Contains(e.Err.Error(), "is none of ours") {
		t.Errorf("%+v", e)
	}
	if e := d.Examine(t.Context(), "x"); e.Err == nil || e.ID != "" {
		t.Errorf("%+v", e)
	}
	if e := Foreign(good); e.ID != "j" || e.Ends.IsZero() || e.Machine != "" || e.Claims != "" || e.Err == nil || !strings.Contains(e.Err.Error(), "no directory has the issuer \""+issuer.URL) {
		t.Errorf("%+v", e)
	}
	if e := Foreign(good + "!"); !errors.Is(e.Err, authn.ErrMalformedToken) || e.ID != "" {
		t.Errorf("%+v", e)
	}
	if Issuer(good) != issuer.URL || Issuer("x") != "" {
		t.Error(Issuer(good))
	}
	issuer.Instead(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	if e := directory(t, testConfig(issuer.URL)).Examine(t.Context(), good); !errors.Is(e.Err, authn.ErrUnavailable) || e.Machine != "octo-org/app" {
		t.Errorf("%+v", e)
	}
}
