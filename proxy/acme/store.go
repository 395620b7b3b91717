package acme

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/caddyserver/certmagic"
)

// store is the folder, in which each server has its own part.
type store struct {
	*certmagic.FileStorage
	issuer string // the server's part
}

func newStore(folder, directory string) store {
	return store{&certmagic.FileStorage{Path: folder}, (&certmagic.ACMEIssuer{CA: directory}).IssuerKey()}
}

// errUnreadable is what a stored certificate is that nobody can serve.
var errUnreadable = errors.New("the stored certificate cannot be read")

// read reads the certificate of a name with its key. Its error is fs.ErrNotExist where
// none is stored, and errUnreadable where what is stored is of no use.
func (s store) read(name string) (*tls.Certificate, error) {
	var parts [3][]byte
	for i, key := range s.files(name) {
		text, err := s.Load(context.Background(), key)
		if errors.Is(err, fs.ErrPermission) {
			return nil, fmt.Errorf("%w: %w", errUnreadable, err)
		}
		if err != nil {
			return nil, err
		}
		parts[i] = text
	}
	pair, err := tls.X509KeyPair(parts[0], parts[1])
	if err == nil {
		err = pair.Leaf.VerifyHostname(name)
	}
	if err == nil && !json.Valid(parts[2]) {
		err = errors.New("what is noted beside it is no JSON")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return &pair, nil
}

// files are the certificate, its key, and what the library notes beside them.
func (s store) files(name string) []string {
	keys := certmagic.StorageKeys
	return []string{keys.SiteCert(s.issuer, name), keys.SitePrivateKey(s.issuer, name), keys.SiteMeta(s.issuer, name)}
}

// discardUnreadable removes a certificate that cannot be read, so that it is ordered
// again. The lock is that of an order: what a replica is just writing stays.
func (s store) discardUnreadable(ctx context.Context, name string) error {
	if _, err := s.read(name); !errors.Is(err, errUnreadable) {
		return nil
	}
	lock := "issue_cert_" + name
	if err := s.Lock(ctx, lock); err != nil {
		return err
	}
	defer s.Unlock(ctx, lock)
	if _, err := s.read(name); !errors.Is(err, errUnreadable) {
		return nil
	}
	for _, key := range s.files(name) {
		if err := s.Delete(ctx, key); err != nil {
			return fmt.Errorf("%w, nor removed: %w", errUnreadable, err)
		}
	}
	return nil
}
