package proxy

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"time"

	"gatehouse/proxy/route"
	"gatehouse/tokens/store"
)

const (
	// mostNews is how many changes wait to be told; what is more is not told.
	mostNews = 1024
	newsTime = time.Second // for one to be told
)

// change is what a request has changed at a registry, as gateways that share a store tell
// it each other, so that none goes on with what it knew before.
type change struct {
	From       string     `json:"from"`     // the process
	Place      string     `json:"place"`    // see destinations.place
	Upstream   string     `json:"upstream"` // its name
	Repository string     `json:"repository"`
	Kind       route.Kind `json:"kind"`
	Tags       []string   `json:"tags,omitempty"` // that were named
	Deletes    bool       `json:"deletes,omitempty"`
}

// news are the changes of one process that others are still to be told.
type news struct {
	from  string
	queue chan change // nil: there are no others
}

func newNews() news { return news{rand.Text(), make(chan change, mostNews)} }

// add takes a change. Nobody waits for it: where it is not told, what others know ends by
// time.
func (n *news) add(c change) {
	c.From = n.from
	select {
	case n.queue <- c:
	default:
	}
}

// tell tells what was added, until ctx ends.
func (n *news) tell(ctx context.Context, s *store.Store) {
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-n.queue:
			text, _ := json.Marshal(c) // texts cannot fail
			limited, cancel := context.WithTimeout(ctx, newsTime)
			_ = s.Tell(limited, string(text)) // the store tells what is wrong with it
			cancel()
		}
	}
}

// hear is what another gateway has told; nil: it is of no use to this one.
func (n *news) hear(message string) *change {
	var c change
	if json.Unmarshal([]byte(message), &c) != nil || c.From == n.from {
		return nil
	}
	return &c
}
