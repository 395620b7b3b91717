#!/usr/bin/env bash
## certificates ordered from a real pebble: both challenges, renewal, restarts, two gateways with one storage, a server that is down
# pebble is built once, by the tests, into the user's cache. `make test` orders one certificate.
set -euo pipefail
cd "$(dirname "$0")/../../.."
GATEHOUSE_NO_SKIP=1 go test -count=1 -timeout 20m -v -tags acme -run '^TestACME' ./cmd/e2e
