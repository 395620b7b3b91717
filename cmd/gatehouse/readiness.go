package main

import (
	"context"
	"sync"
	"time"
)

const (
	readyLimit = 3 * time.Second // for the upstream to answer a probe
	readyFor   = time.Second     // a probe's answer serves all who ask
)

// readiness remembers a probe of the upstream, so that asking often does not
// become load there.
type readiness struct {
	mu  sync.Mutex
	at  time.Time
	err error
}

func (r *readiness) ask(ctx context.Context, sn *snapshot) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.at) < readyFor {
		return r.err
	}
	// The answer is for others too, so it does not depend on who asked first.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyLimit)
	defer cancel()
	r.err = sn.gateway.Ready(ctx)
	r.at = time.Now()
	return r.err
}

// forget makes the next question a probe: the upstream may be another one now.
func (r *readiness) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = time.Time{}
}
