// Package assembly makes of a config what serves requests. Package config has read it
// and every file that it names; Prepare makes a Snapshot of it, which serve takes when
// it starts and on HUP, and of which the commands ask.
package assembly

import (
	"context"
	"fmt"
	"log/slog"

	"gatehouse/authn"
	"gatehouse/cmd/gatehouse/config"
	"gatehouse/metrics"
	"gatehouse/proxy"
	"gatehouse/tokens"
	"gatehouse/tokens/personal"
)

// Shared is what outlives a reload: everything in it is shared by all snapshots.
type Shared struct {
	Metrics   *metrics.Metrics              // nil: none are kept
	Throttle  *authn.Throttle               // of logins
	Refusals  *authn.RefusalTime            // how long a refusal takes
	Hasher    *authn.Hasher                 // of passwords; nil: nobody logs in
	Load      *proxy.Load                   // what is in flight
	Key       *authn.SecretFile             // made by Prepare where the config names none
	Revoker   *tokens.Revoker               // of tokens; nil: nothing is ended but by the config
	Personal  *personal.Book                // of personal tokens
	Healthy   func(context.Context) bool    // see proxy.Config
	Listening func() (secure, plain string) // see acme.Options
	Access    *slog.Logger                  // request records
	Audit     *slog.Logger                  // audit events
	Logger    *slog.Logger                  // all else
	Version   string                        // the gateway's, for people to see
}

// Prepare reads a config and makes a snapshot of it; what is wrong stands in the
// snapshot's Loaded, and the snapshot is complete only where that has no fault. serve,
// a reload, check and explain all begin so. Nothing but files is touched. Directories
// of old that did not change are taken over. The caller owns one reference.
func Prepare(path string, p *Shared, old *Snapshot) *Snapshot {
	l := config.Load(path)
	if old != nil && l.Decoded() {
		refuseMoves(l, old.Config)
	}
	return assemble(l, p, old)
}

// Look prepares a config for a command that serves nothing.
func Look(path string) *Snapshot {
	return Prepare(path, &Shared{Logger: slog.New(slog.DiscardHandler)}, nil)
}

// refuseMoves keeps the listeners where they are, and what holds for all of their
// connections: a service manager or a load balancer relies on that, and only a
// restart can do it whole. Each key that moves is named.
func refuseMoves(l *config.Loaded, old *config.Config) {
	now := &l.Config
	if !now.Store.Same(&old.Store) {
		l.Fault("store", "cannot change while the gateway runs; restart it")
	}
	for _, key := range []struct {
		name        string
		before, now any
	}{
		{"listen.address", old.Listen.Address, now.Listen.Address},
		{"listen.http_address", old.Listen.HTTPAddress, now.Listen.HTTPAddress},
		{"listen.reuse_port", old.Listen.ReusePort, now.Listen.ReusePort},
		{"cache.dir", old.CacheDir(), now.CacheDir()},
		{"admin.address", old.Admin.Address, now.Admin.Address},
		{"admin.socket", old.Admin.Socket, now.Admin.Socket},
		{"limits.header_timeout", old.Limits.HeaderTimeout, now.Limits.HeaderTimeout},
		{"limits.http2_streams", old.Limits.HTTP2Streams, now.Limits.HTTP2Streams},
		{"limits.header_bytes", old.Limits.HeaderBytes, now.Limits.HeaderBytes},
	} {
		if key.now != key.before {
			l.Fault(key.name, "cannot change from %q to %q while the gateway runs; restart it", fmt.Sprint(key.before), config.Clip(fmt.Sprint(key.now)))
		}
	}
}

func (p *Shared) makeKey() error {
	if p.Key != nil {
		return nil
	}
	key, err := tokens.GenerateKey()
	if err == nil {
		p.Key = &key
	}
	return err
}
