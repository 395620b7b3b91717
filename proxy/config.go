package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"gatehouse/authn"
	"gatehouse/authz"
	"gatehouse/metrics"
	"gatehouse/proxy/content"
	"gatehouse/proxy/listener"
	"gatehouse/proxy/ui"
	"gatehouse/proxy/upstream"
	"gatehouse/tokens"
	"gatehouse/tokens/personal"
)

// Config is what a Gateway is made of.
type Config struct {
	// Listen is the section `listen`.
	Listen listener.Config
	// Upstream is the section `upstream`; it counts where there are no Upstreams.
	Upstream upstream.Config
	// Upstreams is the section `upstreams`.
	Upstreams []upstream.Entry
	// Cache is the section `cache`; nil: nothing is kept of what the upstream has.
	Cache *content.Config

	// UI is the section `ui`; nil: there are no pages for people.
	UI *ui.Config
	// UIInside tells the pages of administration of the gateway itself; nil: nothing.
	UIInside func() ui.Inside
	// UIAdmins are those who see the pages of administration.
	UIAdmins *authz.Audience
	// Revoker ends sessions and tokens.
	Revoker *tokens.Revoker
	// Shared says that there is a store.
	Shared bool
	// Lasting is how long what a password gave lasts at most.
	Lasting time.Duration
	// Version is the gateway's, for people to see.
	Version string

	// Healthy reports whether requests can be served, for the listener's health path; nil: always.
	Healthy func(context.Context) bool

	// Answer answers ACME's http-01 challenge on the plain listener, or reports that a
	// request is none; nil: there are none.
	Answer func(http.ResponseWriter, *http.Request) bool

	// Service is the challenge's service, as in the Keyring.
	Service string
	// UploadGrace is how long after its end a token still continues an upload.
	UploadGrace time.Duration

	Limits Limits // zero: DefaultLimits
	Load   *Load  // what is in flight, kept over reloads; nil: a new one

	Keyring  *tokens.Keyring // verifies tokens
	Granter  *tokens.Granter // makes them at the realm
	Chain    *authn.Chain    // the directories
	Personal *personal.Desk  // personal tokens; nil: there are none
	Policy   *authz.Policy   // asked for each access

	PolicyNext *authz.Policy // one that is tried: asked beside Policy, and decides nothing; nil: none

	Metrics    *metrics.Metrics // nil: none
	Access     *slog.Logger     // one record a request; nil: none
	AuditAllOf *authz.Audience  // whose every request is recorded there; nil: nobody's
	Audit      *slog.Logger     // the Records of an audit.Stream; nil: none
	Logger     *slog.Logger     // all else; nil discards
}

// under gives the faults of a section, whose keys are relative to it, their whole keys.
func under(section string, err error) error {
	var k *authn.KeyError
	joined, many := err.(interface{ Unwrap() []error })
	switch {
	case many:
		var list []error
		for _, one := range joined.Unwrap() {
			list = append(list, under(section, one))
		}
		return errors.Join(list...)
	case errors.As(err, &k):
		return &authn.KeyError{Key: section + "." + k.Key, Err: k.Err, Warning: k.Warning}
	}
	return err
}
