#!/usr/bin/env bash
## ten minutes of good, bad, aborted and slow traffic at the limits; what it leaves behind (GATEHOUSE_SOAK=10m)
# The same test runs for a minute in `make test`.
set -euo pipefail
cd "$(dirname "$0")/../../.."
GATEHOUSE_NO_SKIP=1 GATEHOUSE_SOAK="${GATEHOUSE_SOAK:-10m}" go test -count=1 -timeout 30m -v -run '^TestSoak$' ./cmd/e2e
