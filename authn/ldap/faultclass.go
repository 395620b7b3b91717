package ldap

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// class says in a few words what kind of fault an error is. Nothing of people and nothing
// that the server wrote is in it.
func class(err error) string {
	for _, kind := range []struct {
		name string
		is   bool
	}{
		{"it shows nothing of what must be there", errors.Is(err, errHidden)},
		{"it cannot answer what another server can", errors.Is(err, errOutdone)},
		{"it answers too slowly", errors.Is(err, errSlow)},
		{"the service account is refused", refusedService(err)},
		{"no answer in time", late(err)},
		{"its name is not known", errors.As(err, new(*net.DNSError))},
		{"the connection is refused", errors.Is(err, syscall.ECONNREFUSED)},
		{"its certificate is not trusted", untrusted(err)},
		{"TLS fails", strings.Contains(err.Error(), "TLS: ")},
		{"it cannot be reached", errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)},
		{"the connection ended", cut(err)},
		{"another fault", !answered(err)},
	} {
		if kind.is {
			return kind.name
		}
	}
	code, _ := errors.AsType[*ldap.Error](err)
	return fmt.Sprintf("it answers %d, %s", code.ResultCode, ldap.LDAPResultCodeMap[code.ResultCode])
}

// late reports whether there was no answer in time.
func late(err error) bool {
	var network net.Error
	return errors.Is(err, errLate) || errors.Is(err, errNoAnswer) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &network) && network.Timeout() || strings.Contains(err.Error(), "ldap: connection timed out")
}

// untrusted reports whether a certificate was refused by us.
func untrusted(err error) bool {
	return errors.As(err, new(*tls.CertificateVerificationError)) || errors.As(err, new(x509.UnknownAuthorityError)) || errors.As(err, new(x509.HostnameError)) ||
		strings.Contains(err.Error(), "x509: ")
}

// cut reports whether the connection ended before there was an answer.
func cut(err error) bool {
	return ended(err) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.EPIPE) || ldap.IsErrorWithCode(err, ldap.ErrorNetwork) || strings.Contains(err.Error(), "unable to read LDAP response packet") ||
		strings.Contains(err.Error(), "unable to send request")
}

// failedLocked notes the last fault of a server.
func (s *server) failedLocked(err error) { s.fault, s.faultAt = class(err), time.Now() }
