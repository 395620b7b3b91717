#!/usr/bin/env bash
# Runs every test of the repository and then every fuzz target for a while. A
# failed or skipped test fails it; the counts stand at the end.
set -euo pipefail
cd "$(dirname "$0")/../../.."

mkdir -p bin
go build -o bin/testreport ./cmd/internal/testreport
# -count=1: what the end-to-end tests see (programs, servers) is not part of Go's cache key.
go test -count=1 -timeout 18m -json ./... | bin/testreport
cmd/internal/scripts/fuzz.sh
