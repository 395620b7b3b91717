#!/usr/bin/env bash
## the OCI conformance suite and the upstream tests, direct and through the gateway, on two registries
set -euo pipefail
cd "$(dirname "$0")/../../.."

cmd/internal/scripts/test-deps.sh

# The suite and distribution v3 are built once, by the tests, into the user's cache.
GATEHOUSE_NO_SKIP=1 go test -count=1 -timeout 20m -v -tags conformance -run '^Test(Conformance|Upstream|Probe|CatalogPages|PagesDelete)' ./cmd/e2e
