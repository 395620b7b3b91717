// Command credentials is the kubelet's side of a credential provider, with the kubelet's own
// types: `credentials request IMAGE` writes a request with the token on stdin, `credentials
// response` reads the answer strictly and prints what it says, `credentials config` reads a
// CredentialProviderConfig strictly and prints what the kubelet would run.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	kubelet "k8s.io/kubelet/config/v1"
	credentials "k8s.io/kubelet/pkg/apis/credentialprovider/v1"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	text, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(credentials.AddToScheme(scheme), kubelet.AddToScheme(scheme)); err != nil {
		return err
	}
	codecs := serializer.NewCodecFactory(scheme, serializer.EnableStrict)
	if len(args) == 2 && args[0] == "request" {
		return request(codecs, args[1], string(text), out)
	}
	object, _, err := codecs.UniversalDeserializer().Decode(text, nil, nil)
	if err != nil {
		return err
	}
	switch o := object.(type) {
	case *credentials.CredentialProviderResponse:
		return response(o, out)
	case *kubelet.CredentialProviderConfig:
		return config(o, out)
	}
	return fmt.Errorf("%T", object)
}

// request encodes as the kubelet does.
func request(codecs serializer.CodecFactory, image, token string, out io.Writer) error {
	info, ok := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), runtime.ContentTypeJSON)
	if !ok {
		return errors.New("no JSON")
	}
	encoder := codecs.EncoderForVersion(info.Serializer, credentials.SchemeGroupVersion)
	return encoder.Encode(&credentials.CredentialProviderRequest{Image: image, ServiceAccountToken: token,
		ServiceAccountAnnotations: map[string]string{"example.com/team": "x"}}, out)
}

func response(o *credentials.CredentialProviderResponse, out io.Writer) error {
	if o.CacheDuration == nil {
		return errors.New("no cacheDuration")
	}
	fmt.Fprintln(out, o.CacheKeyType, o.CacheDuration.Duration)
	for host, auth := range o.Auth {
		fmt.Fprintln(out, host, auth.Username, auth.Password)
	}
	return nil
}

func config(o *kubelet.CredentialProviderConfig, out io.Writer) error {
	for _, p := range o.Providers {
		if p.TokenAttributes == nil || p.DefaultCacheDuration == nil {
			return fmt.Errorf("%s: no tokenAttributes or defaultCacheDuration", p.Name)
		}
		a := p.TokenAttributes
		fmt.Fprintln(out, p.Name, strings.Join(p.Args, " "), p.APIVersion, p.MatchImages, p.DefaultCacheDuration.Duration,
			a.ServiceAccountTokenAudience, a.CacheType, *a.RequireServiceAccount)
	}
	return nil
}
