package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"gatehouse/authn/authntest"

	registryauth "github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// repository is where the demo pushes its image.
const repository = "anyuser/hello"

// check is one thing that users do. Its result is what came back, for the reader.
type check struct {
	title string
	do    func(context.Context) (result string, err error)
}

// checkAll runs every check, prints a line for each, and names those that failed.
func checkAll(ctx context.Context, out io.Writer, g *gateway) error {
	u := user{gateway: g}
	var err error
	if u.image, err = hello("mozart"); err != nil {
		return err
	}
	var failed []string
	fmt.Fprintf(out, "\nGatehouse on http://%s, an LDAP directory and an open registry behind it:\n\n", g.address)
	for _, c := range u.checks() {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		result, err := c.do(ctx)
		cancel()
		if err != nil {
			failed = append(failed, c.title)
			fmt.Fprintf(out, "  \u2717 %-44s %v\n", c.title, err)
			continue
		}
		fmt.Fprintf(out, "  \u2713 %-44s %s\n", c.title, result)
	}
	if len(failed) > 0 {
		return errors.Join(fmt.Errorf("failed: %s", strings.Join(failed, "; ")), g.failure())
	}
	return nil
}

// user does what the checks need done.
type user struct {
	gateway *gateway
	image   v1.Image // mozart's, which all pull
}

func (u user) checks() []check {
	return []check{
		{"a request without a token is challenged", u.challenged},
		{"mozart pushes an image", u.push("mozart", password)},
		{"mozart pulls it back, the same digest", u.pull("mozart", password)},
		{"bach logs in by mail address and pulls", u.pull("bach@example.com", password)},
		{"kant is no musician: refused", refused(u.pull("kant", password), http.StatusUnauthorized)},
		{"a wrong password is refused", refused(u.pull("mozart", "salieri"), http.StatusUnauthorized)},
		{"an empty password is refused", u.emptyPassword},
		{"nobody pulls without a login", refused(u.pull("", ""), http.StatusUnauthorized)},
		{"test may pull", u.pull("test", "123")},
		{"test may not push", refused(u.push("test", "123"), http.StatusForbidden)},
		{"admin may push over it", u.push("admin", "badmin")},
		{"curl's dance: a token, then the catalog", u.catalog},
		{"explain says why mozart may push", u.explain("allowed", "mozart", "push", repository+":latest")},
		{"explain says why test may not", u.explain("denied", "test", "push", repository+":latest")},
	}
}

// hello is a small image for this machine's kind of processor. Each author's is
// another: a client does not push what the registry has already.
func hello(author string) (v1.Image, error) {
	image, err := crane.Image(map[string][]byte{"hello.txt": []byte("Hello from behind the gatehouse, says " + author + ".\n")})
	if err != nil {
		return nil, err
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	return mutate.ConfigFile(image, file)
}

func (u user) reference() (name.Reference, error) {
	return name.ParseReference(u.gateway.address+"/"+repository+":latest", name.Insecure)
}

// credentials are a login's; without a name it is the anonymous caller's.
func credentials(login, password string) remote.Option {
	if login == "" {
		return remote.WithAuth(registryauth.Anonymous)
	}
	return remote.WithAuth(&registryauth.Basic{Username: login, Password: password})
}

func (u user) push(login, password string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		image, err := hello(login)
		if err != nil {
			return "", err
		}
		ref, err := u.reference()
		if err != nil {
			return "", err
		}
		if err := remote.Write(ref, image, credentials(login, password), remote.WithContext(ctx)); err != nil {
			return "", err
		}
		digest, err := image.Digest()
		return short(digest), err
	}
}

// pull fetches the image with its layer, and compares what came with what was pushed.
func (u user) pull(login, password string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		ref, err := u.reference()
		if err != nil {
			return "", err
		}
		image, err := remote.Image(ref, credentials(login, password), remote.WithContext(ctx))
		if err != nil {
			return "", err
		}
		if err := readLayers(image); err != nil {
			return "", err
		}
		got, errGot := image.Digest()
		want, errWant := u.image.Digest()
		if err := errors.Join(errGot, errWant); err != nil {
			return "", err
		}
		if got != want {
			return "", fmt.Errorf("pulled %s, pushed %s", got, want)
		}
		return short(got), nil
	}
}

func readLayers(image v1.Image) error {
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	for _, l := range layers {
		body, err := l.Compressed() // its reader checks the digest
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, body)
		if err := errors.Join(err, body.Close()); err != nil {
			return err
		}
	}
	return nil
}

func short(h v1.Hash) string { return h.Algorithm + ":" + h.Hex[:12] }

// refused turns a check around: it holds when the gateway answers with that status.
func refused(do func(context.Context) (string, error), status int) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		result, err := do(ctx)
		var answer *transport.Error
		switch {
		case err == nil:
			return "", fmt.Errorf("was let in: %s", result)
		case !errors.As(err, &answer) || answer.StatusCode != status:
			return "", fmt.Errorf("want status %d: %w", status, err)
		}
		return reason(answer), nil
	}
}

// reason is what a client shows its user.
func reason(answer *transport.Error) string {
	text := fmt.Sprint(answer.StatusCode)
	for _, d := range answer.Errors {
		text += fmt.Sprintf(" %s: %s", d.Code, d.Message)
	}
	return text
}

// challenged asks for /v2/ as docker does first.
func (u user) challenged(ctx context.Context) (string, error) {
	answer, err := u.get(ctx, "/v2/", "")
	if err != nil {
		return "", err
	}
	challenge := answer.header.Get("WWW-Authenticate")
	if answer.status != http.StatusUnauthorized || !strings.HasPrefix(challenge, "Bearer realm=") {
		return "", fmt.Errorf("status %d, WWW-Authenticate %q", answer.status, challenge)
	}
	return fmt.Sprintf("%d %s", answer.status, challenge), nil
}

// emptyPassword asks the realm itself: clients would rather try without a login.
func (u user) emptyPassword(ctx context.Context) (string, error) {
	answer, err := u.get(ctx, "/auth?service=gatehouse", basic("mozart", ""))
	if err != nil {
		return "", err
	}
	if answer.status != http.StatusUnauthorized {
		return "", fmt.Errorf("the realm answered %d %s", answer.status, answer.body)
	}
	return fmt.Sprintf("%d %s", answer.status, answer.header.Get("WWW-Authenticate")), nil
}

func basic(login, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(login+":"+password))
}

// catalog asks the realm for a token by Basic, and with it lists the repositories.
func (u user) catalog(ctx context.Context) (string, error) {
	scope := url.Values{"service": {"gatehouse"}, "scope": {"registry:catalog:*"}}
	answer, err := u.get(ctx, "/auth?"+scope.Encode(), basic("mozart", password))
	if err != nil {
		return "", err
	}
	var reply struct{ Token string }
	if err := json.Unmarshal(answer.body, &reply); err != nil || reply.Token == "" {
		return "", fmt.Errorf("the realm answered %d %s", answer.status, answer.body)
	}
	if answer, err = u.get(ctx, "/v2/_catalog", "Bearer "+reply.Token); err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(answer.body))
	if answer.status != http.StatusOK || text != `{"repositories":["`+repository+`"]}` {
		return "", fmt.Errorf("status %d: %s", answer.status, text)
	}
	return text, nil
}

type answer struct {
	status int
	header http.Header
	body   []byte // the first 64 KiB
}

func (u user) get(ctx context.Context, path, authorization string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+u.gateway.address+path, nil)
	if err != nil {
		return answer{}, err
	}
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return answer{}, err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	return answer{response.StatusCode, response.Header, body}, errors.Join(err, response.Body.Close())
}

// explain asks the binary; its status is 1 where it says "denied".
func (u user) explain(verdict string, question ...string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		arguments := append([]string{"explain", "-c", u.gateway.config}, question...)
		text, err := authntest.Run(exec.CommandContext(ctx, u.gateway.binary, arguments...))
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			return "", err
		}
		first, _, _ := strings.Cut(text, "\n")
		if first != verdict || (exit != nil) != (verdict == "denied") {
			return "", fmt.Errorf("want %s: %w", verdict, errors.Join(err, errors.New(text)))
		}
		return first, nil
	}
}

// printNext shows what to try while the demo serves.
func printNext(out io.Writer, g *gateway) {
	fmt.Fprintf(out, `
Try it (mozart and bach have the password "password"; admin:badmin and test:123 are local):

  docker login %[1]s -u mozart -p password
  docker pull  busybox
  docker tag   busybox %[1]s/anyuser/busybox
  docker push  %[1]s/anyuser/busybox

  curl -i http://%[1]s/v2/_catalog
  token=$(curl -s -u mozart:password 'http://%[1]s/auth?service=gatehouse&scope=registry:catalog:*' | sed 's/.*"token":"\([^"]*\)".*/\1/')
  curl -H "Authorization: Bearer $token" http://%[1]s/v2/_catalog

  %[2]s explain -c %[3]s test push anyuser/busybox:latest
  %[2]s check -c %[3]s --user bach
  curl http://%[4]s/metrics
  tail -f %[5]s

Ctrl-C stops everything and removes the files. In a browser, with one of these names:

  http://%[1]s/
`, g.address, g.binary, g.config, g.admin, g.log)
}
