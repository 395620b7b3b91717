package kept

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/authz"
	"gatehouse/cmd/gatehouse/admin"
	"gatehouse/proxy/freeze"
	"gatehouse/tokens/store"
)

// silent is a store that gives no answer to changes: before it is told them, or after.
type silent struct {
	store.Backend
	after bool
}

// Update is of the interface.
func (s silent) Update(ctx context.Context, table string, change func(map[string][]byte) ([]store.Write, error)) error {
	if s.after {
		if err := s.Backend.Update(ctx, table, change); err != nil {
			return err
		}
	}
	return errors.Join(store.ErrUnavailable, errors.New("i/o timeout"))
}

func kept(t *testing.T) *store.Store {
	t.Helper()
	file, err := store.OpenFile(filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return store.Watched(file, store.Config{}, nil, nil)
}

func order(t *testing.T, reason string, until *time.Time) *freeze.Order {
	t.Helper()
	o := &freeze.Order{Reason: reason, Since: time.Now(), Until: until}
	if err := o.Check(time.Time{}); err != nil {
		t.Fatal(err)
	}
	return o
}

// TestFreeze: what an order takes the place of is what the store says, not what this gateway
// still has, and a thaw of nothing is none; without a store its own is all there is.
func TestFreeze(t *testing.T) {
	for _, st := range []*store.Store{nil, kept(t)} {
		var one, two freeze.State
		want := func(s *freeze.State, o *freeze.Order, before string) {
			t.Helper()
			got, err := Freeze(t.Context(), st, s, o)
			if err != nil || before == "" && got != nil || before != "" && (got == nil || got.Reason != before) || s.Now() != o {
				t.Errorf("%v in place of %v: %v", o, got, err)
			}
		}
		nothing := func(s *freeze.State) {
			t.Helper()
			fault := new(admin.Fault)
			if _, err := Freeze(t.Context(), st, s, nil); !errors.As(err, &fault) || fault.Status != http.StatusNotFound || errors.Is(err, ErrUnsure) {
				t.Errorf("a thaw of nothing: %v", err)
			}
		}
		nothing(&one)
		want(&one, order(t, "first", nil), "")
		want(&one, order(t, "second", nil), "first")
		if st != nil { // two has not looked since
			want(&two, nil, "second")
			nothing(&one)
			one.Set(nil)
		} else {
			want(&one, nil, "second")
		}
		past := time.Now().Add(-time.Second)
		if _, err := Freeze(t.Context(), st, &one, order(t, "over", &past)); err != nil {
			t.Error(err)
		}
		nothing(&one)
	}
}

// TestFreezeUnread: what the store has and nobody can read is some freeze, which an order
// takes the place of, and a thaw ends.
func TestFreezeUnread(t *testing.T) {
	st := kept(t)
	var state freeze.State
	for _, o := range []*freeze.Order{order(t, "x", nil), nil} {
		if err := st.Put(t.Context(), store.Write{Table: FreezeTable, Key: FreezeKey, Value: []byte("{")}); err != nil {
			t.Fatal(err)
		}
		if before, err := Freeze(t.Context(), st, &state, o); err != nil || before == nil || state.Now() != o {
			t.Errorf("%v in place of %v: %v", o, before, err)
		}
	}
}

// TestFreezeUnsure: where the store gives no answer it is said whether it was told the
// order, so that it may come to count; nothing counts here before it is known.
func TestFreezeUnsure(t *testing.T) {
	for _, after := range []bool{false, true} {
		st := kept(t)
		st.Backend = silent{st.Backend, after}
		var state freeze.State
		fault := new(admin.Fault)
		_, err := Freeze(t.Context(), st, &state, order(t, "x", nil))
		if !errors.As(err, &fault) || fault.Status != http.StatusServiceUnavailable || errors.Is(err, ErrUnsure) != after || state.Now() != nil {
			t.Fatalf("told %v: %v, %v", after, err, state.Now())
		}
		if strings.Contains(fault.Message, "nothing was changed") == after || !strings.Contains(fault.Message, "i/o timeout") {
			t.Errorf("told %v: %s", after, fault.Message)
		}
		if text, err := st.Get(t.Context(), FreezeTable, FreezeKey); (err == nil) != after {
			t.Errorf("told %v: %s %v", after, text, err)
		}
	}
}

// TestMerged: counts of rules that are gone go after a while, those of others stay.
func TestMerged(t *testing.T) {
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	text := func(t authz.Tally) []byte { b, _ := json.Marshal(t); return b } // it cannot fail
	old, young := authz.Tally{Allowed: 1, Since: now.Add(-2 * forgotten)}, authz.Tally{Allowed: 2, Since: now.Add(-2 * forgotten), Last: now.Add(-time.Hour)}
	known, changes, err := merged(map[string][]byte{"gone": text(old), "young": text(young), "there": text(old)}, map[string]authz.Tally{"there": {Since: now}, "new": {Denied: 1, Since: now, Last: now}}, now)
	if err != nil || len(known) != 3 || known["young"] != young || known["there"] != old || known["new"].Denied != 1 {
		t.Errorf("%+v %v", known, err)
	}
	written := map[string]bool{}
	for _, c := range changes {
		written[c.Key] = c.Value != nil
	}
	if put, ok := written["gone"]; !ok || put || !written["new"] || len(written) != 2 {
		t.Errorf("%v", changes)
	}
	if _, _, err := merged(map[string][]byte{"x": []byte("{")}, nil, now); err == nil {
		t.Error("nonsense is read")
	}
}
