package ldap

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
)

// tlsAlert is the first byte of what a TLS server answers to somebody who does
// not speak TLS (RFC 8446 5.1).
const tlsAlert = 0x15

// The hints that operators need where a handshake fails: TLS itself says little.
const (
	oldTLS = "it may offer only RSA key exchange or TLS below 1.2: let it offer ECDHE with TLS 1.2 or later"
	noTLS  = "this may be its plain port: write ldap:// with start_tls: true"
)

// explainHandshake adds to a failed handshake what it may be and what to try.
// Ldaps is false for StartTLS, which begins on the plain port.
func explainHandshake(err error, ldaps bool) error {
	var record tls.RecordHeaderError
	text := err.Error()
	says := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(text, w) {
				return true
			}
		}
		return false
	}
	switch {
	case errors.As(err, &record):
		return fmt.Errorf("%w; the server does not answer in TLS: %s", err, noTLS)
	case says("handshake failure", "protocol version", "insufficient security", "unconfigured cipher suite"):
		return fmt.Errorf("%w; %s", err, oldTLS)
	case says("certificate required", "bad certificate"):
		return fmt.Errorf("%w; it may want a certificate of the client: set cert_file and key_file", err)
	case ended(err) && ldaps:
		return fmt.Errorf("%w; the server closed the connection during the handshake: %s; or %s", err, noTLS, oldTLS)
	case says("TLS handshake failed (EOF)", "connection reset"):
		return fmt.Errorf("%w; the server closed the connection during the handshake: %s", err, oldTLS)
	}
	return err
}

func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}

// explainPlain adds to the failure of a request in plain text that the port may
// be one for TLS: its server answers with an alert, or ends the connection
// without a byte.
func (c *conn) explainPlain(err error) error {
	if !broken(err) || c.server.tls || c.server.network != "tcp" {
		return err
	}
	switch first := c.wire.first.Load(); {
	case first == tlsAlert+1:
		return fmt.Errorf("%w; the server speaks TLS on this port: write ldaps:// instead of ldap://", err)
	case first == 0 && c.wire.over.Load():
		return fmt.Errorf("%w; the server closed the connection without an answer: if this is its TLS port, write ldaps:// instead of ldap://", err)
	}
	return err
}
