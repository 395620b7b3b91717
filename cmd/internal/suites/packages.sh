#!/usr/bin/env bash
## the Debian package installed, run, removed and purged by dpkg in a copy of this machine; the unit's sandbox; the image of `make image` in a Docker Engine; the Helm chart by Helm and Kubernetes' own types
set -euo pipefail
cd "$(dirname "$0")/../../.."

cmd/internal/scripts/test-deps.sh dpkg-deb:dpkg unshare:util-linux systemd-analyze:systemd systemd-sysusers:systemd

# A copy of the machine is root's: an overlay, in a mount name space of its own.
mkdir -p bin
go test -c -tags packages -o bin/packages.test ./cmd/e2e/deploy
run=(env GATEHOUSE_NO_SKIP=1 PATH="$PATH" ../../../bin/packages.test -test.v -test.timeout 40m -test.run '^TestPackage')
test "$(id -u)" -eq 0 || run=(sudo -n "${run[@]}")
(cd cmd/e2e/deploy && "${run[@]}")
