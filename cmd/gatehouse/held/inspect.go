package held

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"syscall"

	"gatehouse/authn"
	"gatehouse/cmd/gatehouse/admin"
	"gatehouse/cmd/gatehouse/assembly"
	"gatehouse/cmd/gatehouse/cli"
	"gatehouse/tokens"
	"gatehouse/tokens/personal"
	"gatehouse/tokens/store"
)

// inspectPath is where a cli.Question is asked; the answer is a cli.Verdict.
const inspectPath = "/tokens/inspect"

func (o *Office) inspect(ctx context.Context, q cli.Question) (any, error) {
	var v cli.Verdict
	err := o.Use(func(s *assembly.Snapshot) error {
		v = q.Answer(ctx, s.Keyring, s.Chain)
		return nil
	})
	return v, err
}

// counsel is a config whose gateway, or whose store, is asked.
type counsel struct {
	*assembly.Snapshot
	shared  *assembly.Shared
	keyring *tokens.Keyring
	keyless string // see cli.Opened
}

// Open reads a config for token inspect. A file that whoever asks may not read
// counts only where a token cannot be judged without it.
func Open(path string) cli.Opened {
	shared := &assembly.Shared{Logger: slog.New(slog.DiscardHandler), Revoker: tokens.NewRevoker(nil, nil)}
	shared.Personal = personal.NewBook(shared.Revoker, nil)
	s := assembly.Prepare(path, shared, nil)
	c := &counsel{Snapshot: s, shared: shared}
	o := cli.Opened{Machines: s.Machines(), Issuers: s.Issuers(), Personal: s.Desk != nil, Ask: c.ask, Close: s.Release}
	if s.Chain != nil {
		o.Certified = s.Chain.Certified
	}
	for _, f := range s.Loaded.Faults() {
		if !f.Content && f.Key != "store.file" { // which is told when it is opened
			o.Faults = append(o.Faults, f.String())
		}
	}
	if len(o.Faults) == 0 {
		if err := c.takeKeyring(); err != nil {
			o.Faults = append(o.Faults, err.Error())
		}
	}
	o.Keyring, o.Keyless = c.keyring, c.keyless
	return o
}

// takeKeyring makes a keyring where the files of the keys cannot be read: what is revoked is
// known without them.
func (c *counsel) takeKeyring() (err error) {
	cfg := c.Config.Tokens
	if len(cfg.KeyFiles) == 0 {
		c.keyless = "tokens.key_files names none, so that each gateway makes a key of its own"
	}
	if c.keyring = c.Keyring; c.keyring != nil {
		return nil
	}
	c.keyless = "the keys that know others (tokens.key_files) cannot be read"
	key, err := tokens.GenerateKey()
	if err != nil {
		return err
	}
	cfg.KeyFiles, cfg.Revoker = []authn.SecretFile{key}, c.shared.Revoker
	if c.Desk != nil {
		cfg.Personal = c.Desk
	}
	c.keyring, err = tokens.NewKeyring(cfg)
	return err
}

// ask asks the running gateway, and the store where none runs.
func (c *counsel) ask(ctx context.Context, q cli.Question) (v cli.Verdict, err error) {
	var silent error
	if c.Loaded.AdminSocket() != "" {
		if silent = admin.At(c.Loaded).Post(ctx, inspectPath, q, &v); silent == nil || errors.As(silent, new(*admin.Fault)) {
			return v, silent
		}
	}
	if kind := c.keyring.KindOf(authn.Secret(q.Token)); c.keyless != "" && (kind == tokens.FromOIDC || kind == tokens.FromRefresh) {
		return cli.Verdict{Reason: "it is no token of a machine, and " + c.keyless}, nil
	}
	opened, err := c.openStore(silent)
	if err == nil && opened != nil {
		defer opened.Close()
		c.shared.Personal.Use(opened)
		err = c.shared.Revoker.Use(ctx, opened)
	}
	if err == nil && q.Token != "" {
		err = c.unread()
	}
	if err != nil {
		return v, err
	}
	v = q.Answer(ctx, c.keyring, c.Chain)
	if opened == nil && silent == nil {
		v.Note = unasked
	}
	return v, nil
}

const unasked = "the config has neither a store nor admin.socket; a running gateway may have ended it until it is restarted, and cannot be asked"

// unread is a fault of a file that a directory of people needs to be asked.
func (c *counsel) unread() error {
	for _, f := range c.Loaded.Faults() {
		if f.Content && strings.HasPrefix(f.Key, "directories[") {
			return errors.New(f.String())
		}
	}
	return nil
}

// openStore opens the store of a config whose gateway is silent for this reason; nil: it has
// none, and no gateway that could have ended something runs.
func (c *counsel) openStore(silent error) (*store.Store, error) {
	cfg := c.Config.Store
	switch {
	case cfg.Configured():
	case silent == nil, errors.Is(silent, syscall.ECONNREFUSED), errors.Is(silent, fs.ErrNotExist):
		return nil, nil
	default:
		return nil, silent
	}
	var backend store.Backend
	var err error
	if cfg.File != "" {
		backend, err = store.OpenIdle(c.Loaded.StoreFile())
	} else {
		backend, err = store.NewShared(cfg.Redis)
	}
	switch {
	case err == nil:
		return store.Watched(backend, cfg, nil, nil), nil
	case silent != nil:
		return nil, fmt.Errorf("%w, and %w", silent, err)
	case errors.Is(err, store.ErrInUse):
		return nil, fmt.Errorf("%w; set admin.socket, by which a running gateway is asked, and restart it", err)
	}
	return nil, err
}
