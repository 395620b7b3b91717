#!/usr/bin/env bash
## the figures of the pages: 10,000 repositories and 5,000 tags at a registry that takes 20 ms for each answer
set -euo pipefail
cd "$(dirname "$0")/../../.."

go test -count=1 -timeout 10m -v -tags pages -run '^TestPagesFigures$' ./cmd/e2e
