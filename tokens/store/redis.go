package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"gatehouse/authn"
)

const (
	// dialTime and answerTime bound a request: what waits for Redis is a login, or the
	// making of a token.
	dialTime   = time.Second
	answerTime = time.Second
	// attempts is how often an Update looks again after another was faster.
	attempts = 20
)

// Shared is a Backend of Redis. All keys have one hash tag, so that in a cluster they are
// on one node and can change together.
type Shared struct {
	client redis.UniversalClient
	prefix string // of all keys
}

var _ Backend = (*Shared)(nil)

// NewShared is the store of a section that was checked. It dials nothing.
func NewShared(cfg Redis) (*Shared, error) {
	at, err := cfg.address()
	if err != nil {
		return nil, err
	}
	o := &redis.UniversalOptions{
		Addrs: at.hosts, MasterName: at.master, IsClusterMode: at.cluster, DB: at.database, ClientName: "gatehouse",
		DialTimeout: dialTime, DialerRetries: 1, ReadTimeout: answerTime, WriteTimeout: answerTime, PoolTimeout: answerTime,
		MaxRetries: 1, ContextTimeoutEnabled: true,
		CredentialsProviderContext: cfg.credentials,
		MaintNotificationsConfig:   &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if at.tls {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		if cfg.CAFile.Data != nil {
			if o.TLSConfig.RootCAs, err = authn.CertPool(cfg.CAFile); err != nil {
				return nil, err
			}
		}
	}
	redis.SetLogger(silent{})
	return &Shared{redis.NewUniversalClient(o), cfg.Prefix + "{s}:"}, nil
}

// silent is the library's log: its errors are ours to tell.
type silent struct{}

// Printf is of the library.
func (silent) Printf(context.Context, string, ...any) {}

// credentials are those of the moment, so that a password can be rotated.
func (r *Redis) credentials(context.Context) (username, password string, err error) {
	if r.PasswordFile.Name == "" {
		return r.Username, "", nil
	}
	secret, err := r.PasswordFile.Again()
	return r.Username, string(secret), err
}

// Ping asks whether Redis answers.
func (s *Shared) Ping(ctx context.Context) error { return unavailable(s.client.Ping(ctx).Err()) }

// Get is of Backend.
func (s *Shared) Get(ctx context.Context, table, key string) ([]byte, error) {
	value, err := s.client.HGet(ctx, s.prefix+table, key).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, ErrNone
	}
	return value, unavailable(err)
}

// List is of Backend.
func (s *Shared) List(ctx context.Context, table string) (map[string][]byte, error) {
	all, err := s.client.HGetAll(ctx, s.prefix+table).Result()
	return valuesOf(all), unavailable(err)
}

func valuesOf(all map[string]string) map[string][]byte {
	values := make(map[string][]byte, len(all))
	for key, value := range all {
		values[key] = []byte(value)
	}
	return values
}

// Put is of Backend.
func (s *Shared) Put(ctx context.Context, changes ...Write) error {
	_, err := s.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		s.queue(ctx, p, changes)
		return nil
	})
	return unavailable(err)
}

// queue adds the changes to a transaction.
func (s *Shared) queue(ctx context.Context, p redis.Pipeliner, changes []Write) {
	for _, w := range changes {
		switch key := s.prefix + w.Table; {
		case w.Log && w.Value == nil:
			p.XDel(ctx, key, w.Key)
		case w.Log:
			p.XAdd(ctx, &redis.XAddArgs{Stream: key, Values: []any{"v", w.Value}})
		case w.Value == nil:
			p.HDel(ctx, key, w.Key)
		default:
			p.HSet(ctx, key, w.Key, w.Value)
		}
	}
}

// Update is of Backend.
func (s *Shared) Update(ctx context.Context, table string, change func(map[string][]byte) ([]Write, error)) (err error) {
	var refused error
	once := func(tx *redis.Tx) error {
		now, err := tx.HGetAll(ctx, s.prefix+table).Result()
		if err != nil {
			return err
		}
		changes, err := change(valuesOf(now))
		if refused = err; err != nil || len(changes) == 0 {
			return err
		}
		_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error {
			s.queue(ctx, p, changes)
			return nil
		})
		return err
	}
	for range attempts {
		err = s.client.Watch(ctx, once, s.prefix+table)
		if refused != nil {
			return refused
		}
		if !errors.Is(err, redis.TxFailedErr) {
			return unavailable(err)
		}
	}
	return unavailable(fmt.Errorf("others changed %s all the time", table))
}

// Since is of Backend.
func (s *Shared) Since(ctx context.Context, log, after string) ([]Entry, error) {
	first := "-"
	if after != "" {
		first = "(" + after
	}
	list, err := s.client.XRange(ctx, s.prefix+log, first, "+").Result()
	entries := make([]Entry, 0, len(list))
	for _, m := range list {
		value, _ := m.Values["v"].(string)
		entries = append(entries, Entry{m.ID, []byte(value)})
	}
	return entries, unavailable(err)
}

// Remote is of Backend.
func (s *Shared) Remote() bool { return true }

// Close is of Backend.
func (s *Shared) Close() error { return s.client.Close() }
