#!/usr/bin/env bash
## ten registry clients against the gateway, with passwords and tokens of each kind, and uploads that outlive their token
set -euo pipefail
cd "$(dirname "$0")/../../.."

cmd/internal/scripts/test-deps.sh
cmd/internal/scripts/test-deps.sh podman:podman buildah:buildah ctr:containerd containerd:containerd

# The clients of other projects are built once, by the tests, into the user's cache.
GATEHOUSE_NO_SKIP=1 go test -count=1 -timeout 40m -parallel 4 -v -tags clients -run '^Test(Client|Trace|LongUpload)' ./cmd/e2e
