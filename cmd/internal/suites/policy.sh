#!/usr/bin/env bash
## tags that stay and a freeze before docker-registry and distribution v3: races of creates, clients, garbage collection, restarts
set -euo pipefail
cd "$(dirname "$0")/../../.."

cmd/internal/scripts/test-deps.sh

# Distribution v3 and crane are built once, by the tests, into the user's cache.
GATEHOUSE_NO_SKIP=1 go test -count=1 -timeout 20m -v -tags policy -run '^Test(Creates|Stays|Collection)$' ./cmd/e2e
