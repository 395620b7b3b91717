#!/usr/bin/env bash
## millions of targets against distribution's own router, minutes of random requests in lock-step with a registry, gitleaks with our rule, each fuzz target of the way of a request for a minute
set -euo pipefail
cd "$(dirname "$0")/../../.."

cmd/internal/scripts/test-deps.sh

GATEHOUSE_CASES=${GATEHOUSE_CASES:-3000000} go test -count=1 -timeout 20m -v -run '^TestDifferential$' ./proxy/route
go test -count=1 -timeout 20m -v -tags attacks -run '^TestGitleaks' ./cmd/e2e
GATEHOUSE_NO_SKIP=1 GATEHOUSE_LOCKSTEP=${GATEHOUSE_LOCKSTEP:-5m} go test -count=1 -timeout 20m -v -run '^Test(Lockstep|CeilingLockstep)$' ./cmd/e2e
for target in route:FuzzDifferential route:FuzzParseTarget .:FuzzChallenge upstream:FuzzLocation; do
	go test -run '^$' -fuzz "^${target#*:}\$" -fuzztime "${FUZZTIME:-60s}" "./proxy/${target%:*}"
done
