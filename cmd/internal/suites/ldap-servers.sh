#!/usr/bin/env bash
## Samba and 389-ds under the conformance suite, slapd at fault under load
set -euo pipefail
cd "$(dirname "$0")/../../.."
PATH=$PATH:/usr/sbin:/sbin

cmd/internal/scripts/test-deps.sh slapd:slapd ldapsearch:ldap-utils curl:curl \
	samba:samba samba-tool:samba-common-bin /usr/share/samba/setup/provision.ldif:samba-ad-provision \
	"/usr/lib/$(uname -m)-linux-gnu/samba/ldb/operational.so:samba-ad-dc" \
	ns-slapd:389-ds-base dscreate:python3-lib389

mkdir -p bin
go test -c -tags ldapservers -o bin/ldap-servers.test ./authn/ldap

# A domain controller is root's. A skip is a failure here as in `make test`.
run=(env GATEHOUSE_NO_SKIP=1 ../../bin/ldap-servers.test -test.v -test.timeout 5m -test.run '^(TestSamba|TestDS389)$')
test "$(id -u)" -eq 0 || run=(sudo -n "${run[@]}")
(cd authn/ldap && "${run[@]}")

GATEHOUSE_NO_SKIP=1 go test -count=1 -timeout 8m -v -tags ldapservers -run '^TestFaultsUnderLoad$' ./cmd/e2e
