package probe

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"gatehouse/proxy/route"
	"gatehouse/proxy/upstream"
	"gatehouse/tokens/store"
)

// Store asks the Redis of a section that has no fault, for so long at most, and says what became
// of it. A file was looked at already.
func Store(ctx context.Context, limit time.Duration, cfg *store.Config, say func(ok bool, subject, format string, args ...any)) {
	if cfg.Redis.URL == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	s, err := store.NewShared(cfg.Redis)
	if err == nil {
		defer s.Close()
		err = s.Ping(ctx)
	}
	if err != nil {
		say(false, "store", "%v; is Redis running, and is store.redis right?", err)
		return
	}
	say(true, "store", "Redis answers")
}

// Base asks an address for the API's base, and says what the answer means. The config had
// no fault.
func Base(ctx context.Context, cfg *upstream.Config) (ok bool, meaning string) {
	u, err := upstream.New(*cfg, nil)
	if err != nil {
		return false, err.Error()
	}
	defer u.Close()
	resp, err := u.Do(ctx, upstream.Request{Route: route.Route{Kind: route.Base, Method: http.MethodGet}})
	if err == nil {
		resp.Body.Close()
	}
	switch status := StatusOf(resp, err); {
	case status == 0:
		return false, fmt.Sprintf("%v; is it running, and is upstream.url right?", err)
	case status == http.StatusOK:
		return true, cfg.URL + " answers /v2/"
	case status == http.StatusUnauthorized && cfg.Username == "":
		return false, cfg.URL + " wants a login; give upstream.username and upstream.password_file"
	case status == http.StatusUnauthorized:
		return false, fmt.Sprintf("%s refuses upstream.username %q with its password", cfg.URL, cfg.Username)
	case err != nil:
		return false, fmt.Sprintf("%s: %v", cfg.URL, err)
	default:
		return false, fmt.Sprintf("%s answers /v2/ with status %d; is it a registry, and is the path right?", cfg.URL, status)
	}
}

// Reading says what the reading of a blob where it was pushed means: what comes there is
// what each pull gets.
func Reading(resp *upstream.Response, err error) (ok bool, meaning string) {
	switch status := StatusOf(resp, err); {
	case err != nil && status >= 300 && status < 400:
		return false, fmt.Sprintf("reading a blob: %v; until that is settled every pull is 502. Either let the registry stream its blobs itself (distribution: storage.redirect.disable: true), or list the store in upstream.redirect_hosts", err)
	case err != nil:
		return false, fmt.Sprintf("reading a blob: %v", err)
	case status >= 300 && status < 400:
		return true, fmt.Sprintf("reading a blob: redirected to %s, which clients have to reach; what they read there does not pass the gateway", hostOf(resp.Header.Get("Location")))
	case status != http.StatusOK:
		return false, fmt.Sprintf("what was pushed is not there: status %d", status)
	}
	return true, "reading a blob: the upstream sends it itself"
}

func hostOf(location string) string {
	if u, err := url.Parse(location); err == nil && u.Host != "" {
		return u.Host
	}
	return "another path of its own"
}
