#!/usr/bin/env bash
## two hundred reloads under a hundred requests a second, every second file broken, and fifty swaps of certificates under TLS load (GATEHOUSE_RELOADS=200)
# The same tests reload twenty times in `make test`.
set -euo pipefail
cd "$(dirname "$0")/../../.."
GATEHOUSE_NO_SKIP=1 GATEHOUSE_RELOADS="${GATEHOUSE_RELOADS:-200}" go test -count=1 -timeout 20m -v -run '^Test(Swaps|Reloads)$' ./cmd/e2e
