// Package kubelet is a credential provider of the kubelet (KEP-2133, KEP-4412): the node
// asks it for each image, with a token of the pod's service account, and pulls with that.
package kubelet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/spf13/cobra"

	"gatehouse/cmd/gatehouse/cli"
)

const (
	apiVersion   = "credentialprovider.kubelet.k8s.io/v1"
	requestKind  = "CredentialProviderRequest"
	responseKind = "CredentialProviderResponse"

	// userName stands beside the token. The gateway does not read it; container runtimes
	// take an empty one for no credentials.
	userName = "serviceaccount"
	// margin is before the token's end: a pull that begins then still gets its access token.
	margin = 30 * time.Second

	maxRequest = 1 << 20  // bytes; the API server keeps annotations to 256 KiB
	maxToken   = 16 << 10 // bytes; the gateway takes no longer one
)

// request is what the kubelet writes: as much of it as counts here.
type request struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Image      string `json:"image"`
	Token      string `json:"serviceAccountToken"`
}

// response is what the kubelet reads.
type response struct {
	APIVersion    string                `json:"apiVersion"`
	Kind          string                `json:"kind"`
	CacheKeyType  string                `json:"cacheKeyType"`
	CacheDuration string                `json:"cacheDuration"` // as time.Duration writes it
	Auth          map[string]authConfig `json:"auth"`          // by the registry's host
}

type authConfig struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// Command is `kubelet-credential-provider`.
func Command() *cobra.Command {
	return &cobra.Command{
		Use:   "kubelet-credential-provider",
		Short: "Give the kubelet a pod's service-account token as the password of a pull",
		Long: "A credential provider plugin of the kubelet (CredentialProviderConfig): reads a CredentialProviderRequest of\n" +
			apiVersion + " on stdin and answers on stdout with the pod's service-account token\n" +
			"as the password for the image's host, to be cached until 30 s before the token ends. A request without a\n" +
			"token gets no credentials. It needs no config, asks nobody and keeps nothing.",
		Example: "  gatehouse kubelet-credential-provider <request.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxRequest+1))
			if err != nil {
				return cli.Exit(cli.Fault, "%w", err)
			}
			reply, err := answer(text, time.Now())
			if err != nil {
				return cli.Exit(cli.Fault, "%w", err)
			}
			if err := json.NewEncoder(cmd.OutOrStdout()).Encode(reply); err != nil {
				return cli.Exit(cli.Fault, "%w", err)
			}
			return nil
		},
	}
}

// answer is what a request gets. No error shows the token.
func answer(text []byte, now time.Time) (*response, error) {
	asked, err := read(text)
	if err != nil {
		return nil, err
	}
	host, err := hostOf(asked.Image)
	if err != nil {
		return nil, err
	}
	reply := &response{APIVersion: apiVersion, Kind: responseKind, CacheKeyType: "Registry", CacheDuration: "0s", Auth: map[string]authConfig{}}
	if asked.Token == "" {
		return reply, nil
	}
	ends, err := endOf(asked.Token)
	if err != nil {
		return nil, fmt.Errorf("serviceAccountToken is no token of a service account: %w", err)
	}
	if left := ends.Add(-margin).Sub(now); left > 0 {
		reply.CacheDuration = left.Truncate(time.Second).String()
	}
	reply.Auth[host] = authConfig{userName, asked.Token}
	return reply, nil
}

func read(text []byte) (asked request, err error) {
	if len(text) > maxRequest {
		return asked, fmt.Errorf("the request is longer than %d bytes", maxRequest)
	}
	if err := json.Unmarshal(text, &asked); err != nil {
		return asked, readable(err)
	}
	if asked.APIVersion != apiVersion || asked.Kind != requestKind {
		return asked, fmt.Errorf("this is %.100q of %.100q; give a %s of %s (apiVersion of the provider in the CredentialProviderConfig)",
			asked.Kind, asked.APIVersion, requestKind, apiVersion)
	}
	return asked, nil
}

// readable is the error without what stands in the request.
func readable(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("the request is no JSON: at byte %d", syntax.Offset)
	case errors.As(err, &kind) && kind.Field != "":
		return fmt.Errorf("the request's %.100s must be a text", kind.Field)
	}
	return errors.New("the request is no JSON object")
}

// host is a registry's name as an image has it: a domain or an address, and maybe a port.
// It is a pattern for the kubelet, so nothing else may stand in it.
var host = regexp.MustCompile(`^([0-9A-Za-z](?:[0-9A-Za-z.-]*[0-9A-Za-z])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)

// hostOf is the registry of an image. One that names none is Docker Hub's, which must not
// see a token.
func hostOf(image string) (string, error) {
	name, rest, _ := strings.Cut(image, "/")
	switch {
	case rest == "" || !strings.ContainsAny(name, ".:") && name != "localhost":
		return "", fmt.Errorf("image %.200q names no registry", image)
	case !host.MatchString(name):
		return "", fmt.Errorf("image %.200q: %.100q is no host", image, name)
	}
	return name, nil
}

// endOf is when a token ends, unverified: that is for the gateway. One without an end is
// over, so that it is never kept.
func endOf(token string) (time.Time, error) {
	if len(token) > maxToken {
		return time.Time{}, fmt.Errorf("it is longer than %d bytes", maxToken)
	}
	var claims jwt.RegisteredClaims
	if _, _, err := jwt.NewParser().ParseUnverified(token, &claims); err != nil {
		return time.Time{}, errors.New("it cannot be read")
	}
	if claims.ExpiresAt == nil {
		return time.Time{}, nil
	}
	return claims.ExpiresAt.Time, nil
}
