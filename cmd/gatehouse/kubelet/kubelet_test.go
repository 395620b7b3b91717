package kubelet

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gatehouse/cmd/gatehouse/cli"
)

// signed is a token with these claims; its signature is for the gateway to look at.
func signed(claims string) string {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	return part(`{"alg":"RS256","kid":"k"}`) + "." + part(claims) + "." + part("signature")
}

// asking is a request for the image.
func asking(image, token string) string {
	text, _ := json.Marshal(map[string]any{"apiVersion": apiVersion, "kind": requestKind, "image": image, "serviceAccountToken": token})
	return string(text)
}

// TestHosts: the token is for the host of the image, with its port, and for nobody else.
func TestHosts(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	token := signed(`{"exp":1000600}`)
	for image, want := range map[string]string{
		"registry.example.com/team/app":                                   "registry.example.com",
		"registry.example.com/team/app:v1":                                "registry.example.com",
		"registry.example.com:5000/app@sha256:" + strings.Repeat("0", 64): "registry.example.com:5000",
		"localhost/app":            "localhost",
		"localhost:5000/app":       "localhost:5000",
		"127.0.0.1:5000/a/b/c":     "127.0.0.1:5000",
		"[::1]:5000/app":           "[::1]:5000",
		"[fd00::7]/app":            "[fd00::7]",
		"Registry.Example.COM/app": "Registry.Example.COM",
		"app":                      "",
		"library/app":              "",
		"app:v1":                   "",
		"registry.example.com":     "",
		"registry.example.com/":    "",
		"":                         "",
		"/app":                     "",
		"*.example.com/app":        "",
		"*/app":                    "",
		"a.b:/app":                 "",
		"a.b:x/app":                "",
		"a.b:5000:1/app":           "",
		".example.com/app":         "",
		"-a.example.com/app":       "",
		"user@example.com/app":     "",
		"https://example.com/app":  "",
		"exa mple.com/app":         "",
		"example.com\n/app":        "",
		"[::1/app":                 "",
		"[g::1]/app":               "",
	} {
		reply, err := answer([]byte(asking(image, token)), now)
		if want == "" {
			if err == nil || !strings.Contains(err.Error(), "image ") {
				t.Errorf("%q: %v, %v", image, reply, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", image, err)
			continue
		}
		if got := reply.Auth[want]; len(reply.Auth) != 1 || got.Password != token || got.Username == "" {
			t.Errorf("%q: %+v, want %s", image, reply.Auth, want)
		}
	}
}

// TestCacheDuration: until 30 s before the token's end, and never below nothing.
func TestCacheDuration(t *testing.T) {
	now := time.Unix(1_000_000, 400_000_000)
	for claims, want := range map[string]string{
		`{"exp":1000600}`:    "9m29s",
		`{"exp":1003600}`:    "59m29s",
		`{"exp":1000031}`:    "0s",
		`{"exp":1000032}`:    "1s",
		`{"exp":1000030}`:    "0s",
		`{"exp":1000600.9}`:  "9m29s",
		`{"exp":1.0006e6}`:   "9m29s",
		`{"exp":1000001}`:    "0s",
		`{"exp":999999}`:     "0s",
		`{"exp":0}`:          "0s",
		`{"exp":-5}`:         "0s",
		`{}`:                 "0s",
		`{"exp":null}`:       "0s",
		`{"iat":1}`:          "0s",
		`{"exp":1000000000}`: "277499h59m29s",
	} {
		reply, err := answer([]byte(asking("r.example.com/a", signed(claims))), now)
		if err != nil {
			t.Errorf("%s: %v", claims, err)
			continue
		}
		if reply.CacheDuration != want || reply.CacheKeyType != "Registry" || len(reply.Auth) != 1 {
			t.Errorf("%s: %+v, want %s", claims, reply, want)
		}
	}
}

// TestNoToken: without a token there are no credentials, and nothing is kept.
func TestNoToken(t *testing.T) {
	for _, text := range []string{asking("r.example.com/a", ""),
		`{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"r.example.com/a","later":{"x":1}}`} {
		out, err := run(text)
		want := `{"apiVersion":"credentialprovider.kubelet.k8s.io/v1","kind":"CredentialProviderResponse","cacheKeyType":"Registry","cacheDuration":"0s","auth":{}}` + "\n"
		if err != nil || out != want {
			t.Errorf("%s: %s, %v", text, out, err)
		}
	}
}

// TestBadRequests: each is status 1 with its reason, which shows no token, and nothing
// stands on stdout.
func TestBadRequests(t *testing.T) {
	token := signed(`{"exp":4000000000}`)
	other := func(version, kind string) string {
		return fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"image":"r.example.com/a","serviceAccountToken":%q}`, version, kind, token)
	}
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "no JSON"},
		{"half", asking("r.example.com/a", token)[:80], "no JSON: at byte"},
		{"two", asking("r.example.com/a", token) + "{}", "no JSON: at byte"},
		{"a list", "[]", "no JSON object"},
		{"a text", `"` + token + `"`, "no JSON object"},
		{"null", "null", `this is "" of ""`},
		{"an empty one", "{}", `this is "" of ""`},
		{"an older version", other("credentialprovider.kubelet.k8s.io/v1beta1", requestKind), "v1beta1"},
		{"another group", other("v1", requestKind), `of "v1"`},
		{"a response", other(apiVersion, responseKind), responseKind},
		{"the kind in capitals", other(apiVersion, strings.ToUpper(requestKind)), "CREDENTIAL"},
		{"without an image", asking("", token), "names no registry"},
		{"an image that is a list", `{"apiVersion":"` + apiVersion + `","kind":"` + requestKind + `","image":["` + token + `"]}`, "the request's image must be a text"},
		{"a token that is a number", `{"apiVersion":"` + apiVersion + `","kind":"` + requestKind + `","image":"r.example.com/a","serviceAccountToken":7}`, "serviceAccountToken must be a text"},
		{"a word", asking("r.example.com/a", "hunter2"), "no token of a service account"},
		{"two parts", asking("r.example.com/a", strings.Join(strings.Split(token, ".")[:2], ".")), "cannot be read"},
		{"claims that are none", asking("r.example.com/a", signed("hunter2")), "cannot be read"},
		{"an end that is a text", asking("r.example.com/a", signed(`{"exp":"hunter2"}`)), "cannot be read"},
		{"a long token", asking("r.example.com/a", token+strings.Repeat("A", maxToken)), "longer than 16384 bytes"},
		{"a long request", asking("r.example.com/a"+strings.Repeat("a", maxRequest), token), "longer than 1048576 bytes"},
	} {
		out, err := run(c.text)
		var e *cli.Error
		if !errors.As(err, &e) || e.Status != cli.Fault || !strings.Contains(err.Error(), c.want) || out != "" {
			t.Errorf("%s: %v, %q", c.name, err, out)
			continue
		}
		if text := err.Error(); strings.Contains(text, "hunter2") || strings.Contains(text, token) || len(text) > 500 {
			t.Errorf("%s: %s", c.name, text)
		}
	}
}

// run is the command with this on stdin.
func run(text string) (string, error) {
	var out bytes.Buffer
	cmd := Command()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(nil)
	cmd.SetIn(strings.NewReader(text))
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	err := cmd.Execute()
	return out.String(), err
}
