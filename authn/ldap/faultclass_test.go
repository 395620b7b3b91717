package ldap

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/go-ldap/ldap/v3"
)

// TestClass: each kind of fault by its name, however it is wrapped.
func TestClass(t *testing.T) {
	result := func(code uint16) error { return ldap.NewError(code, errors.New("uid=mozart said the server")) }
	for _, test := range []struct {
		err  error
		want string
	}{
		{errSlow, "it answers too slowly"},
		{fmt.Errorf("%w: %w", errOutdone, errHidden), "it shows nothing of what must be there"},
		{fmt.Errorf("%w: %w", errOutdone, result(50)), "it cannot answer what another server can"},
		{&serviceError{result(49)}, "the service account is refused"},
		{&serviceError{result(53)}, "the service account is refused"},
		{&serviceError{result(51)}, "it answers 51, Busy"},
		{errLate, "no answer in time"},
		{fmt.Errorf("%w: %w", errNoAnswer, net.ErrClosed), "no answer in time"},
		{context.DeadlineExceeded, "no answer in time"},
		{os.ErrDeadlineExceeded, "no answer in time"},
		{ldap.NewError(ldap.ErrorNetwork, errors.New("ldap: connection timed out")), "no answer in time"},
		{&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "x"}}, "its name is not known"},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, "the connection is refused"},
		{&net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}, "it cannot be reached"},
		{fmt.Errorf("TLS: %w", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}), "its certificate is not trusted"},
		{fmt.Errorf("StartTLS: %w", errors.New("x509: certificate has expired")), "its certificate is not trusted"},
		{fmt.Errorf("TLS: %w", tls.RecordHeaderError{Msg: "no record"}), "TLS fails"},
		{fmt.Errorf("%w; the server closed the connection without an answer: if this is its TLS port, write ldaps://", io.EOF), "the connection ended"},
		{io.EOF, "the connection ended"},
		{&net.OpError{Op: "write", Err: syscall.EPIPE}, "the connection ended"},
		{fmt.Errorf("unable to send request: %s", syscall.EPIPE), "the connection ended"},
		{ldap.NewError(ldap.ErrorNetwork, errors.New("ldap: connection closed")), "the connection ended"},
		{fmt.Errorf("reading dc=x: %w", result(32)), "it answers 32, No Such Object"},
		{result(3), "it answers 3, Time Limit Exceeded"},
		{errors.New("bind_dn is cn=secret"), "another fault"},
	} {
		if got := class(test.err); got != test.want {
			t.Errorf("%v: %q, want %q", test.err, got, test.want)
		}
	}
}
