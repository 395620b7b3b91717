#!/usr/bin/env bash
## ID tokens of oauth2-mock-server (Node) and of zitadel's op: clients, keys that change, an issuer at fault, 10,000 bad tokens, a push that outlives its token
set -euo pipefail
cd "$(dirname "$0")/../../.."

cmd/internal/scripts/test-deps.sh
cmd/internal/scripts/test-deps.sh podman:podman buildah:buildah ctr:containerd containerd:containerd node:nodejs npm:npm

GATEHOUSE_NO_SKIP=1 go test -count=1 -timeout 40m -parallel 4 -v -tags clients -run '^Test(Issuer|IDToken)' ./cmd/e2e
