package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"gatehouse/authn"
	"gatehouse/authn/authntest"
)

// redisServer starts a real one, which asks for a password, and returns the section for it.
func redisServer(t testing.TB) (*authntest.Process, Redis) {
	t.Helper()
	address := authntest.FreeAddress(t)
	p := authntest.StartRedis(t, address, "--appendonly", "yes", "--requirepass", "sesame")
	r := Redis{URL: "redis://" + address, PasswordFile: authn.SecretFile{Name: "pw", Secret: "sesame"}, Prefix: "gatehouse:"}
	await(t, p, r)
	return p, r
}

func await(t testing.TB, p *authntest.Process, r Redis) {
	t.Helper()
	s, err := NewShared(r)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := p.Await(10*time.Second, func() bool { return s.Ping(t.Context()) == nil }); err != nil {
		t.Fatal(err)
	}
}

// backends makes one of each kind.
func backends(t *testing.T) map[string]Backend {
	t.Helper()
	file, err := OpenFile(filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	_, section := redisServer(t)
	real, err := NewShared(section)
	if err != nil {
		t.Fatal(err)
	}
	small, err := NewShared(Redis{URL: "redis://" + miniredis.RunT(t).Addr(), Prefix: "other:"})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]Backend{"file": file, "redis": real, "miniredis": small}
	for _, b := range all {
		t.Cleanup(func() { b.Close() })
	}
	return all
}

// TestConformance holds every backend to the same conduct.
func TestConformance(t *testing.T) {
	for name, b := range backends(t) {
		for check, run := range map[string]func(*testing.T, Backend){"records": records, "all or none": allOrNone, "bytes": anyBytes,
			"updates": updates, "a refused update": refusedUpdate, "logs": logs} {
			t.Run(name+"/"+check, func(t *testing.T) { run(t, b) })
		}
	}
}

func put(t *testing.T, b Backend, changes ...Write) {
	t.Helper()
	if err := b.Put(t.Context(), changes...); err != nil {
		t.Fatal(err)
	}
}

func wantKeys(t *testing.T, b Backend, table string, want ...string) {
	t.Helper()
	all, err := b.List(t.Context(), table)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for key := range all {
		keys = append(keys, key)
	}
	if slices.Sort(keys); !slices.Equal(keys, want) {
		t.Errorf("%s has %q, want %q", table, keys, want)
	}
}

func records(t *testing.T, b Backend) {
	if _, err := b.Get(t.Context(), "a", "1"); !errors.Is(err, ErrNone) {
		t.Errorf("a table that is not there: %v", err)
	}
	wantKeys(t, b, "a")
	put(t, b, Write{Table: "a", Key: "1", Value: []byte("one")}, Write{Table: "a", Key: "2", Value: []byte("two")}, Write{Table: "b", Key: "1", Value: []byte("x")})
	put(t, b, Write{Table: "a", Key: "1", Value: []byte("uno")})
	if value, err := b.Get(t.Context(), "a", "1"); string(value) != "uno" || err != nil {
		t.Errorf("%q, %v", value, err)
	}
	wantKeys(t, b, "a", "1", "2")
	wantKeys(t, b, "b", "1")
	put(t, b, Write{Table: "a", Key: "1"}, Write{Table: "a", Key: "none"}, Write{Table: "nowhere", Key: "none"})
	if _, err := b.Get(t.Context(), "a", "1"); !errors.Is(err, ErrNone) {
		t.Errorf("a record that was taken out: %v", err)
	}
	put(t, b, Write{Table: "a", Key: "2"}, Write{Table: "b", Key: "1"})
	wantKeys(t, b, "a")
}

// allOrNone: what somebody sees of changes that belong together is none or all of them.
func allOrNone(t *testing.T, b Backend) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 50 {
			value := fmt.Append(nil, i)
			if err := b.Put(context.Background(), Write{Table: "pair", Key: "left", Value: value}, Write{Table: "pair", Key: "right", Value: value}); err != nil {
				t.Error(err)
			}
		}
	}()
	for {
		all, err := b.List(t.Context(), "pair")
		if err != nil || string(all["left"]) != string(all["right"]) {
			t.Fatalf("%q, %v", all, err)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

func anyBytes(t *testing.T, b Backend) {
	key, value := "cn=Ü,\r\n{x}:\x00/*", []byte("\x00\xff\r\n")
	put(t, b, Write{Table: "odd/" + key, Key: key, Value: value})
	if got, err := b.Get(t.Context(), "odd/"+key, key); string(got) != string(value) || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	wantKeys(t, b, "odd/"+key, key)
}

// updates: of many who each add one while there are fewer than five, five succeed.
func updates(t *testing.T, b Backend) {
	errFull := errors.New("full")
	var all sync.WaitGroup
	var mu sync.Mutex
	full := 0
	for i := range 12 {
		all.Go(func() {
			err := b.Update(context.Background(), "few", func(now map[string][]byte) ([]Write, error) {
				if len(now) >= 5 {
					return nil, errFull
				}
				return []Write{{Table: "few", Key: fmt.Sprint(i), Value: []byte("x")}, {Table: "many", Key: fmt.Sprint(i), Value: []byte("x")}}, nil
			})
			mu.Lock()
			defer mu.Unlock()
			if errors.Is(err, errFull) {
				full++
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	few, _ := b.List(t.Context(), "few")
	many, _ := b.List(t.Context(), "many")
	if len(few) != 5 || len(many) != 5 || full != 7 {
		t.Errorf("%d and %d records, %d refused", len(few), len(many), full)
	}
}

func refusedUpdate(t *testing.T, b Backend) {
	errNo := errors.New("no")
	err := b.Update(t.Context(), "refused", func(map[string][]byte) ([]Write, error) {
		return []Write{{Table: "refused", Key: "x", Value: []byte("x")}}, errNo
	})
	if err != errNo {
		t.Errorf("%v, want the error of the change itself", err)
	}
	wantKeys(t, b, "refused")
	if err := b.Update(t.Context(), "refused", func(map[string][]byte) ([]Write, error) { return nil, nil }); err != nil {
		t.Errorf("an update without a change: %v", err)
	}
}

func logs(t *testing.T, b Backend) {
	if list, err := b.Since(t.Context(), "log", ""); len(list) != 0 || err != nil {
		t.Fatalf("%v, %v", list, err)
	}
	add := func(text string) { put(t, b, Write{Table: "log", Value: []byte(text), Log: true}) }
	read := func(after string) (texts []string, keys []string) {
		list, err := b.Since(t.Context(), "log", after)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			texts, keys = append(texts, string(e.Value)), append(keys, e.Key)
		}
		return texts, keys
	}
	for i := range 12 {
		add(fmt.Sprint(i))
	}
	texts, keys := read("")
	if strings.Join(texts, " ") != "0 1 2 3 4 5 6 7 8 9 10 11" {
		t.Fatalf("%q", texts)
	}
	if texts, _ := read(keys[9]); strings.Join(texts, " ") != "10 11" {
		t.Errorf("behind the tenth: %q", texts)
	}
	var gone []Write
	for _, key := range keys {
		gone = append(gone, Write{Table: "log", Key: key, Log: true})
	}
	put(t, b, gone...)
	add("after")
	if texts, again := read(keys[11]); len(texts) != 1 || texts[0] != "after" || again[0] == keys[0] {
		t.Errorf("after all went: %q under %q, which has to be behind %q", texts, again, keys[11])
	}
}
