#!/usr/bin/env bash
## twenty restarts under load by socket activation and twenty by reuse_port, no request lost (GATEHOUSE_RESTARTS=20)
# The same test restarts three times in `make test`.
set -euo pipefail
cd "$(dirname "$0")/../../.."
GATEHOUSE_NO_SKIP=1 GATEHOUSE_RESTARTS="${GATEHOUSE_RESTARTS:-20}" go test -count=1 -timeout 30m -v -run '^TestRestarts$' ./cmd/e2e
