// Command zitadel is an issuer of zitadel's op for tests: zitadel URL ISSUER-PORT CONTROL-PORT.
// The control port takes /token and answers with the ID token of a login by authorization
// code, /rotate (a further key signs from now on) and /withdraw (a new key, and none of the
// old).
package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const callback = "http://localhost:9999/auth/callback" // where nobody listens: the code stands in the redirect

// key signs, and is shown.
type key struct {
	id      string
	private *rsa.PrivateKey
}

func (k *key) ID() string                                  { return k.id }
func (k *key) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k *key) Key() any                                    { return k.private }

// shown is its public half.
type shown struct{ *key }

func (s shown) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (s shown) Use() string                        { return "sig" }
func (s shown) Key() any                           { return s.private.Public() }

// rotating is the storage of the example with more keys than one.
type rotating struct {
	*storage.Storage
	mu   sync.Mutex
	keys []*key // the last signs
}

func (r *rotating) rotate(withdraw bool) error {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if withdraw {
		r.keys = nil
	}
	r.keys = append(r.keys, &key{rand.Text(), private})
	return nil
}

func (r *rotating) SigningKey(context.Context) (op.SigningKey, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys[len(r.keys)-1], nil
}

func (r *rotating) KeySet(context.Context) (list []op.Key, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.keys {
		list = append(list, shown{k})
	}
	return list, nil
}

// login is the way of a browser, and gives the ID token at its end.
func login(issuer string) (string, error) {
	var at *url.URL
	client := &http.Client{CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if at = r.URL; strings.HasPrefix(at.String(), callback) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	query := url.Values{"client_id": {"web"}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid"}, "state": {"s"}, "nonce": {"n"}}
	page, err := client.Get(issuer + "/auth?" + query.Encode())
	if err != nil {
		return "", err
	}
	page.Body.Close()
	form := url.Values{"id": {at.Query().Get("authRequestID")}, "username": {"test-user2"}, "password": {"verysecure"}}
	last, err := client.PostForm(issuer+"/login/username", form)
	if err != nil {
		return "", err
	}
	last.Body.Close()
	code := at.Query().Get("code")
	request, err := http.NewRequest(http.MethodPost, issuer+"/oauth/token",
		strings.NewReader(url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}}.Encode()))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth("web", "secret")
	reply, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		return "", err
	}
	var tokens struct {
		ID string `json:"id_token"`
	}
	if err := json.Unmarshal(text, &tokens); err != nil || tokens.ID == "" {
		return "", fmt.Errorf("%s: %s", reply.Status, text)
	}
	return tokens.ID, nil
}

func run(issuer, port, control string) error {
	storage.RegisterClients(storage.WebClient("web", "secret", callback))
	r := &rotating{Storage: storage.NewStorage(storage.NewUserStore(issuer + "/"))}
	if err := r.rotate(true); err != nil {
		return err
	}
	router := exampleop.SetupServer(issuer, r, slog.New(slog.NewTextHandler(os.Stderr, nil)), false)
	ended := make(chan error, 2)
	go func() { ended <- http.ListenAndServe("127.0.0.1:"+port, router) }()
	go func() {
		ended <- http.ListenAndServe("127.0.0.1:"+control, http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			text, err := "", errors.New("unknown")
			switch request.URL.Path {
			case "/token":
				text, err = login(issuer)
			case "/rotate", "/withdraw":
				err = r.rotate(request.URL.Path == "/withdraw")
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			io.WriteString(w, text)
		}))
	}()
	return <-ended
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "zitadel URL ISSUER-PORT CONTROL-PORT")
		os.Exit(2)
	}
	fmt.Fprintln(os.Stderr, run(os.Args[1], os.Args[2], os.Args[3]))
	os.Exit(1)
}
