// Package kept is what the store keeps of a policy: the freeze, and how many requests each
// rule decided.
package kept

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"gatehouse/authz"
	"gatehouse/cmd/gatehouse/admin"
	"gatehouse/proxy/freeze"
	"gatehouse/tokens/store"
)

// Where the freeze is.
const (
	FreezeTable = "freeze"
	FreezeKey   = "order"
)

const (
	rulesTable = "rules"
	forgotten  = 90 * 24 * time.Hour // after which counts of rules that are gone go too
)

// ErrUnsure: the store gave no answer to a change, which may come to count.
var ErrUnsure = errors.New("it is not known whether it was kept: ask /readyz?verbose, or order it again")

// Freeze makes an order the one that counts, here and where there is a store there; of none
// (nil: a thaw) the store keeps `null`, so that a store that has lost it is told from a thaw.
// before is what it takes the place of: what the store has, else this gateway; nil: nothing.
// A thaw of nothing is an *admin.Fault, a store at fault too; that wraps ErrUnsure where it
// was told to change something.
func Freeze(ctx context.Context, st *store.Store, state *freeze.State, o *freeze.Order) (before *freeze.Order, err error) {
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	told := false
	change := func(now map[string][]byte) ([]store.Write, error) {
		if before = inForce(now[FreezeKey], state); before == nil && o == nil {
			return nil, &admin.Fault{Status: http.StatusNotFound, Message: "nothing is frozen"}
		}
		told = true
		return []store.Write{{Table: FreezeTable, Key: FreezeKey, Value: text}}, nil
	}
	if st == nil {
		_, err = change(nil)
	} else {
		err = st.Update(ctx, FreezeTable, change)
	}
	if err != nil {
		return before, failed(err, told)
	}
	state.Set(o)
	return before, nil
}

// failed is why an order is not the one that counts.
func failed(err error, told bool) error {
	if errors.As(err, new(*admin.Fault)) {
		return err
	}
	why := errors.New("nothing was changed, as it cannot be kept")
	if told {
		why = ErrUnsure
	}
	return fmt.Errorf("%w: %w", &admin.Fault{Status: http.StatusServiceUnavailable, Message: why.Error() + ": " + err.Error()}, why)
}

// inForce is the order that counts as the store has it; where it has none, not even a thaw,
// that of this gateway. One that cannot be read is some order.
func inForce(text []byte, state *freeze.State) *freeze.Order {
	o, err := state.Now(), error(nil)
	if text != nil {
		if o, err = freeze.Read(text); err != nil {
			return freeze.Unsure(time.Now())
		}
	}
	if !o.Held(time.Now()) {
		return nil
	}
	return o
}

// Counts adds what was counted to what the store has, which becomes what is known.
func Counts(ctx context.Context, st *store.Store, counts *authz.Counts) {
	fresh := counts.Fresh()
	var known map[string]authz.Tally
	err := st.Update(ctx, rulesTable, func(now map[string][]byte) (changes []store.Write, err error) {
		known, changes, err = merged(now, fresh, time.Now())
		return changes, err
	})
	if err != nil { // the store tells it
		counts.Back(fresh)
		return
	}
	counts.Know(known)
}

// merged adds counts to those that are kept.
func merged(kept map[string][]byte, fresh map[string]authz.Tally, now time.Time) (known map[string]authz.Tally, changes []store.Write, err error) {
	known = map[string]authz.Tally{}
	for key, text := range kept {
		var t authz.Tally
		if err := json.Unmarshal(text, &t); err != nil {
			return nil, nil, err
		}
		if _, used := fresh[key]; !used && now.Sub(t.Since) > forgotten && now.Sub(t.Last) > forgotten {
			changes = append(changes, store.Write{Table: rulesTable, Key: key})
			continue
		}
		known[key] = t
	}
	for key, t := range fresh {
		before, there := known[key]
		if there && t.Allowed == 0 && t.Denied == 0 {
			continue
		}
		known[key] = before.Plus(t)
		text, err := json.Marshal(known[key])
		if err != nil {
			return nil, nil, err
		}
		changes = append(changes, store.Write{Table: rulesTable, Key: key, Value: text})
	}
	return known, changes, nil
}
