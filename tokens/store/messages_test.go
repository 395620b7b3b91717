package store

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/authn/authntest"
)

// hearing is what a gateway hears.
func hearing(t *testing.T, s *Store) <-chan string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	heard, done := make(chan string, 1000), make(chan bool)
	go func() {
		s.Hear(ctx, func(message string) { heard <- message })
		close(done)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return heard
}

// tellUntil tells until it is heard: who has just begun to hear may have missed the first.
func tellUntil(t *testing.T, from *Store, heard <-chan string, message string) {
	t.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for deadline := time.After(20 * time.Second); ; {
		_, _ = from.Get(t.Context(), "t", "k") // as the follower does, so that it is known when Redis is back
		_ = from.Tell(t.Context(), message)
		select {
		case got := <-heard:
			if got == message {
				return
			}
		case <-again.C:
		case <-deadline:
			t.Fatalf("%q was not heard", message)
		}
	}
}

// TestMessages: each gateway hears what any tells, in its order, and again after Redis was
// away; another prefix hears nothing of it.
func TestMessages(t *testing.T) {
	p, section := redisServer(t)
	open := func(prefix string) *Store {
		other := section
		other.Prefix = prefix
		b, err := NewShared(other)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		return Watched(b, Config{}, nil, nil)
	}
	one, two, stranger := open("g:"), open("g:"), open("h:")
	heard, own, foreign := hearing(t, two), hearing(t, one), hearing(t, stranger)
	tellUntil(t, one, heard, "begun")
	tellUntil(t, one, own, "begun too")
	tellUntil(t, stranger, foreign, "begun elsewhere")
	for _, message := range []string{"a", "b", "c"} {
		if err := one.Tell(t.Context(), message); err != nil {
			t.Fatal(err)
		}
	}
	for want := "a"; want <= "c"; {
		if got := <-heard; !strings.HasPrefix(got, "begun") {
			if got != want {
				t.Errorf("heard %q, want %q", got, want)
			}
			want = string(want[0] + 1)
		}
	}
	p.Stop(5 * time.Second)
	_, _ = one.Get(t.Context(), "t", "k")
	if err := one.Tell(t.Context(), "lost"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("told to nobody: %v", err)
	}
	authntest.StartRedis(t, strings.TrimPrefix(section.URL, "redis://"), "--requirepass", "sesame")
	tellUntil(t, one, heard, "back")
	for len(foreign) > 0 {
		if got := <-foreign; got != "begun elsewhere" {
			t.Errorf("another prefix hears %q", got)
		}
	}
}

// TestMessagesOfFile: the only gateway of a file has nobody to tell.
func TestMessagesOfFile(t *testing.T) {
	f, err := OpenFile(filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := Watched(f, Config{}, nil, nil)
	if err := s.Tell(t.Context(), "x"); err != nil {
		t.Error(err)
	}
	s.Hear(t.Context(), func(string) { t.Error("something is heard") })
}
