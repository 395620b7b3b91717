#!/usr/bin/env bash
# Installs the Debian packages that the tests need and this machine lacks. No
# service is started: while apt runs, a policy-rc.d forbids it, and afterwards the
# one that stood there before is back. Where nothing is missing it does nothing.
#
#   cmd/internal/scripts/test-deps.sh                       what `make test` needs
#   cmd/internal/scripts/test-deps.sh program:package ...   what a slow suite needs; a file
#                                              stands for a package without programs
set -euo pipefail

# program:package, one for each program that a test starts
needed=("$@")
test $# -gt 0 || needed=(
	podman:podman slapd:slapd slapadd:slapd ldapsearch:ldap-utils
	docker-registry:docker-registry skopeo:skopeo
	dockerd:docker.io docker:docker.io iptables:iptables
	nginx:nginx-light haproxy:haproxy caddy:caddy wrk:wrk promtool:prometheus prometheus:prometheus
	redis-server:redis-server redis-cli:redis-tools
	curl:curl jq:jq openssl:openssl chromium:chromium
)
policy=/usr/sbin/policy-rc.d
# Where there are packages, theirs are meant: the tests know them, and a newer docker
# elsewhere on the PATH is no client for their dockerd.
places=/usr/sbin:/usr/bin:/sbin:/bin
command -v apt-get >/dev/null || places=$places:$PATH

missing() {
	local entry
	for entry in "${needed[@]}"; do
		PATH=$places command -v "${entry%%:*}" >/dev/null || test -e "${entry%%:*}" || echo "${entry##*:}"
	done
	test -s /etc/ssl/certs/ca-certificates.crt || echo ca-certificates
}

as_root() {
	if test "$(id -u)" -eq 0; then "$@"; else sudo -n "$@"; fi
}

packages=$(missing | sort -u | tr '\n' ' ')
if test -z "$packages"; then
	exit 0
fi
echo "missing for the tests: $packages"
if ! command -v apt-get >/dev/null; then
	echo "no apt-get here: install them by hand" >&2
	exit 1
fi
if test "$(id -u)" -ne 0 && ! sudo -n true 2>/dev/null; then
	echo "needs root or sudo: apt-get install --no-install-recommends $packages" >&2
	exit 1
fi

restore() {
	if as_root test -e "$policy.before-gatehouse"; then
		as_root mv "$policy.before-gatehouse" "$policy"
	else
		as_root rm -f "$policy"
	fi
}
trap restore EXIT
if test -e "$policy"; then
	as_root cp -a "$policy" "$policy.before-gatehouse"
fi
printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
as_root chmod 755 "$policy"

apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 -o Acquire::Retries=3)
as_root "${apt[@]}" update
# shellcheck disable=SC2086 # one word a package
as_root "${apt[@]}" install --no-install-recommends $packages

still=$(missing | sort -u | tr '\n' ' ')
if test -n "$still"; then
	echo "still missing after the installation: $still" >&2
	exit 1
fi
