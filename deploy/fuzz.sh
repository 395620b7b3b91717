#!/usr/bin/env bash
# Runs every fuzz target of the repository for $FUZZTIME (10s) each: the list is
# what the sources say, so that no target can be forgotten.
set -euo pipefail
cd "$(dirname "$0")/.."

targets=$(grep -rHoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed -E 's|^\./||; s|/[^/]*:func |:|' | sort || true)
count=0
for target in $targets; do
	echo "fuzz ${target%%:*} ${target##*:} for ${FUZZTIME:-10s}"
	go test -run '^$' -fuzz "^${target##*:}\$" -fuzztime "${FUZZTIME:-10s}" "./${target%%:*}" | tail -n 40
	count=$((count + 1))
done
echo "$count fuzz targets ran"
test "$count" -gt 0 # none found is a fault of this script, not a success
