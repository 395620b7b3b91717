package proxy

import (
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"strings"

	"gatehouse/authn"
	"gatehouse/proxy/listener"
)

// basicCredentials reads an Authorization field (RFC 7617). None at all, or empty
// ones (`Basic Og==`, which conformance tools send), is the anonymous caller: nil.
// Anything else that is no Basic credentials is refused, and never anonymous.
func basicCredentials(field string, from listener.Peer) (*authn.Attempt, error) {
	if field == "" {
		return nil, nil
	}
	scheme, encoded, _ := strings.Cut(field, " ")
	text, err := base64.StdEncoding.Strict().DecodeString(encoded)
	username, password, ok := strings.Cut(string(text), ":")
	if !strings.EqualFold(scheme, "Basic") || err != nil || !ok {
		return nil, &apiError{status: http.StatusUnauthorized, code: "UNAUTHORIZED", message: "the Authorization field holds no Basic credentials", basic: true}
	}
	if username == "" && password == "" {
		return nil, nil
	}
	return newAttempt(username, password, from), nil
}

// certificates are the client's of the connection, and those that signed it; none: it has
// none. The listener asks for them where listen.tls.client_ca_file is given, and those
// that do not verify end the handshake.
func certificates(x *exchange) []*x509.Certificate {
	if x.r.TLS == nil {
		return nil
	}
	return x.r.TLS.PeerCertificates
}

func newAttempt(username, password string, from listener.Peer) *authn.Attempt {
	return &authn.Attempt{Login: username, Password: authn.Secret(password), Source: from.Client, Via: from.Via()}
}
