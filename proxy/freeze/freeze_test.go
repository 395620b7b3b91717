package freeze

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestState: an order counts from Set to its end or the next Set, for the repositories
// that it names.
func TestState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s State
		if s.Now() != nil || s.Closes("a") != nil {
			t.Error("it begins frozen")
		}
		until := time.Now().Add(time.Hour)
		o := &Order{Reason: " collecting garbage ", Repositories: []string{"prod/**", "base"}, Since: time.Now(), Until: &until}
		if err := o.Check(time.Now()); err != nil {
			t.Fatal(err)
		}
		s.Set(o)
		for repository, closed := range map[string]bool{"prod/app": true, "base": true, "base/x": false, "team/app": false} {
			if (s.Closes(repository) != nil) != closed {
				t.Errorf("%s: closed %v", repository, !closed)
			}
		}
		if text := o.String(); !strings.HasPrefix(text, "frozen since 2000-01-01T00:00:00Z until 2000-01-01T01:00:00Z (prod/**, base): collecting garbage") {
			t.Error(text)
		}
		time.Sleep(time.Hour - time.Nanosecond)
		if s.Closes("base") == nil || o.Left(time.Now()) != time.Nanosecond {
			t.Error("it ends early")
		}
		time.Sleep(time.Nanosecond)
		if s.Now() != nil || s.Closes("base") != nil {
			t.Error("it does not end")
		}
		all := &Order{Reason: "incident"}
		if err := all.Check(time.Now()); err != nil || all.Left(time.Now()) != 0 {
			t.Fatal(err)
		}
		if s.Set(all); s.Closes("any/thing") != all {
			t.Error("an order of all closes not all")
		}
		if s.Set(nil); s.Closes("any/thing") != nil {
			t.Error("a thaw opens nothing")
		}
	})
}

// TestCheck: what an order may not be.
func TestCheck(t *testing.T) {
	now := time.Now()
	for want, o := range map[string]Order{
		"a reason is needed": {Reason: " \t"}, "longer than 500": {Reason: strings.Repeat("x", 501)}, "no text": {Reason: "a\nb"},
		"more than 100": {Reason: "x", Repositories: slices.Repeat([]string{"a"}, 101)}, "is over": {Reason: "x", Until: &now},
		"placeholders": {Reason: "x", Repositories: []string{"a", "{user}/**"}}, "empty": {Reason: "x", Repositories: []string{""}},
		`"Team/**" can never match`: {Reason: "x", Repositories: []string{"team/**", "Team/**"}},
	} {
		if err := o.Check(now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+.50v: %v, want %s", o, err, want)
		}
	}
}

// TestBounds: what an order may just be, and what not; a second Check forgets the first.
func TestBounds(t *testing.T) {
	reason := map[string]bool{strings.Repeat("x", 500): true, "~": true, "a\u00a0b": true, "é": true, "\x1f a": false, "a\x7fb": false, "a\u0080b": false, "a\u009fb": false}
	for text, good := range reason {
		if o := (Order{Reason: text}); (o.Check(time.Now()) == nil) != good {
			t.Errorf("%.20q is a reason: %v", text, !good)
		}
	}
	o := Order{Reason: "x", Repositories: slices.Repeat([]string{"a"}, 100)}
	if err := o.Check(time.Now()); err != nil || !o.covers("a") || o.covers("b") {
		t.Errorf("a hundred repositories: %v", err)
	}
	o.Repositories = nil
	if err := o.Check(time.Now()); err != nil || !o.covers("b") {
		t.Errorf("an order that is of all now: %v", err)
	}
	if text := o.String(); text != "frozen since 0001-01-01T00:00:00Z: x" {
		t.Error(text)
	}
}

// TestFollow: what another gateway has ordered counts, unless somebody here has ordered
// since it was read.
func TestFollow(t *testing.T) {
	var s State
	first, second, third := &Order{Reason: "1"}, &Order{Reason: "2"}, &Order{Reason: "3"}
	if !s.Follow(nil, first) || s.Follow(first, &Order{Reason: "1"}) {
		t.Error("what changes is not told from what does not")
	}
	if s.Follow(nil, third) || s.Seen().Reason != "1" {
		t.Error("what was set in between is lost")
	}
	s.Set(first)
	if s.Seen() != first || s.Now() != first {
		t.Error("what is followed does not count")
	}
	seen := s.Seen()
	s.Set(second)
	s.Follow(seen, third)
	if s.Seen() != second {
		t.Error("what was set in between is lost")
	}
	past := time.Now().Add(-time.Second)
	if s.Set(&Order{Until: &past}); s.Seen() == nil || s.Now() != nil {
		t.Error("an order whose time is up is seen, and counts no more")
	}
	if s.Follow(s.Seen(), nil) || s.Follow(nil, &Order{Until: &past}) {
		t.Error("the end of what was over is a change")
	}
	unsure := Unsure(time.Now())
	if s.Set(unsure); !s.Follow(unsure, nil) {
		t.Error("to know that there is none is no change")
	}
	var none *Order
	if none.Held(time.Now()) || unsure.Held(time.Now()) || (&Order{Until: &past}).Held(time.Now()) || !first.Held(time.Now()) {
		t.Error("which orders somebody holds to")
	}
}

// TestQuiet: each that waits waits for all that began before it and are not ended, though
// others waited for them before and gave up; for what begins meanwhile nobody waits.
func TestQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s State
		quiet := func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return s.Quiet(ctx)
		}
		if !quiet() {
			t.Error("nothing began, and it is not quiet")
		}
		first := s.Begin()
		second := s.Begin()
		for range 3 {
			if quiet() {
				t.Fatal("two run, and it is quiet")
			}
		}
		gone, cancel := context.WithCancel(t.Context())
		if cancel(); s.Quiet(gone) {
			t.Error("it is quiet for one who has left")
		}
		first()
		if quiet() {
			t.Error("one runs, and it is quiet")
		}
		answer := make(chan bool, 2)
		for range 2 {
			go func() { answer <- s.Quiet(t.Context()) }()
		}
		synctest.Wait()
		third := s.Begin()
		second()
		for range 2 {
			if !<-answer {
				t.Error("all of before ended, and it is not quiet")
			}
		}
		if quiet() {
			t.Error("the third runs, and it is quiet")
		}
		if third(); !quiet() || len(s.running) > 0 {
			t.Error("all ended, and it is not quiet")
		}
	})
}

// TestRead: what is kept is what was ordered, none too; nonsense is told from none.
func TestRead(t *testing.T) {
	past := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	for _, o := range []*Order{nil, {Reason: "x"}, {Reason: "over", Repositories: []string{"a/**"}, Since: past, Until: &past}} {
		text, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Read(text)
		if err != nil || back.String() != o.String() || back != nil && back.covers("b") != (len(o.Repositories) == 0) {
			t.Errorf("%s: %v %v", text, back, err)
		}
	}
	for _, text := range []string{"", "{", `{"reason":""}`, `"x"`, `{"reason":"x","repositories":["{user}"]}`} {
		if _, err := Read([]byte(text)); err == nil {
			t.Errorf("%s is read", text)
		}
	}
}
