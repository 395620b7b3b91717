package held

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"gatehouse/authn/apitoken"
	"gatehouse/cmd/gatehouse/cli"
	"gatehouse/tokens"
	"gatehouse/tokens/store"
)

// opened is a config of one machine, with further sections, as token inspect opens it.
func opened(t *testing.T, sections string) (cli.Opened, cli.Question) {
	t.Helper()
	shown, err := apitoken.Parse(apitoken.Machine.New())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "gatehouse.yaml")
	text := fmt.Sprintf("upstream: {url: \"http://127.0.0.1:1\"}\ndirectories: [{name: robots, machines: [{name: ci, tokens: [{hash: %q, expires: never}]}]}]\n%s", shown.Hash, sections)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o := Open(path)
	t.Cleanup(o.Close)
	if len(o.Faults) > 0 {
		t.Fatal(o.Faults)
	}
	return o, cli.Question{Kind: string(tokens.FromMachine), ID: shown.ID, Directory: "robots", User: "ci"}
}

// TestAskRedis: without a gateway that can be asked Redis is; at fault nothing is known.
func TestAskRedis(t *testing.T) {
	redis := miniredis.RunT(t)
	o, q := opened(t, fmt.Sprintf("store: {redis: {url: \"redis://%s\"}}\n", redis.Addr()))
	if v, err := o.Ask(t.Context(), q); err != nil || v.Reason != "" || v.Down || v.Note != "" {
		t.Errorf("%+v, %v", v, err)
	}
	backend, err := store.NewShared(store.Redis{URL: "redis://" + redis.Addr(), Prefix: "gatehouse:"})
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	if err := backend.Put(t.Context(), tokens.Revoked{ID: q.ID, Ends: time.Now().Add(time.Hour)}.Write()); err != nil {
		t.Fatal(err)
	}
	if v, err := o.Ask(t.Context(), q); err != nil || v.Reason != "the token is refused: revoked" || v.Down {
		t.Errorf("revoked: %+v, %v", v, err)
	}
	redis.SetError("LOADING")
	if _, err := o.Ask(t.Context(), q); err == nil || !strings.Contains(err.Error(), "store unavailable") {
		t.Errorf("at fault: %v", err)
	}
}

// TestAskNobody: without a store what a gateway has ended ends with it; so none that runs is
// good, and one that does not answer is not.
func TestAskNobody(t *testing.T) {
	o, q := opened(t, "")
	if v, err := o.Ask(t.Context(), q); err != nil || v.Reason != "" || v.Note != unasked {
		t.Errorf("no socket: %+v, %v", v, err)
	}
	folder, err := os.MkdirTemp("", "s") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "a")
	o, q = opened(t, fmt.Sprintf("admin: {socket: %q}\n", path))
	if v, err := o.Ask(t.Context(), q); err != nil || v.Reason != "" || v.Note != "" {
		t.Errorf("no gateway has run: %+v, %v", v, err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	if v, err := o.Ask(t.Context(), q); err == nil || !strings.Contains(err.Error(), "no gateway answers at admin.socket") {
		t.Errorf("one that does not answer: %+v, %v", v, err)
	}
	l.Close()
	if v, err := o.Ask(t.Context(), q); err != nil || v.Reason != "" {
		t.Errorf("one that has died: %+v, %v", v, err)
	}
}

// TestOpenKeyless: where the keys cannot be read a machine's token is judged all the same.
func TestOpenKeyless(t *testing.T) {
	o, q := opened(t, "tokens: {key_files: [none.pem], revoked: [{token: abc}]}\n")
	if !strings.Contains(o.Keyless, "cannot be read") || o.Keyring == nil {
		t.Fatalf("%q", o.Keyless)
	}
	if v, err := o.Ask(t.Context(), q); err != nil || v.Reason != "" {
		t.Errorf("%+v, %v", v, err)
	}
	q.ID = "abc"
	if v, err := o.Ask(t.Context(), q); err != nil || !strings.Contains(v.Reason, "tokens.revoked") || v.Down {
		t.Errorf("%+v, %v", v, err)
	}
	if o, _ = opened(t, ""); !strings.Contains(o.Keyless, "key_files names none") {
		t.Errorf("%q", o.Keyless)
	}
}
