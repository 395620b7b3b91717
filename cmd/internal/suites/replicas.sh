#!/usr/bin/env bash
## three gateways behind HAProxy with a Redis are one: killed, stopped and restarted under docker, skopeo and crane (GATEHOUSE_REPLICAS=2m)
set -euo pipefail
cd "$(dirname "$0")/../../.."

cmd/internal/scripts/test-deps.sh
GATEHOUSE_NO_SKIP=1 go test -count=1 -timeout 40m -v -tags replicas -run '^TestReplicas' ./cmd/e2e
