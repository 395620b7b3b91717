#!/usr/bin/env bash
## the race detector over every package's own tests
set -euo pipefail
cd "$(dirname "$0")/../../.."

cmd/internal/scripts/test-deps.sh
cmd/internal/scripts/test-deps.sh gcc:gcc /usr/include/stdio.h:libc6-dev

# The real binary and the benches are programs of their own, in which it would see nothing.
packages=$(go list ./... | grep -vE '/cmd/(e2e|bench)')
GATEHOUSE_NO_SKIP=1 CGO_ENABLED=1 go test -count=1 -timeout 40m -race $packages
