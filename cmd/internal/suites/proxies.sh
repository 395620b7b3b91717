#!/usr/bin/env bash
## skopeo and a Docker Engine through nginx, HAProxy and Caddy as docs/proxies.md has them, and through both versions of the PROXY protocol
# The same tests run in `make test` without the Docker Engine.
set -euo pipefail
cd "$(dirname "$0")/../../.."
GATEHOUSE_NO_SKIP=1 GATEHOUSE_DOCKER=1 go test -count=1 -timeout 20m -v -run '^TestProx' ./cmd/e2e
