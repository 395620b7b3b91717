#!/usr/bin/env bash
# Runs every fuzz target of the repository for $FUZZTIME (10s) each, the classifier
# against the registry's own router for $DIFFERENTIAL_FUZZTIME (30s): the list is what the
# sources say, so that no target can be forgotten.
set -euo pipefail
cd "$(dirname "$0")/../../.."

# run_target PACKAGE NAME TIME: a finding writes its input below testdata. Go's engine
# at times reports its own end of time as a failure, "context deadline exceeded"
# without any input; that says nothing of the target, which then runs again.
run_target() {
	local log try
	log=$(mktemp)
	for try in 1 2 3; do
		if go test -run '^$' -fuzz "^$2\$" -fuzztime "$3" "./$1" >"$log" 2>&1; then
			tail -n 4 "$log"
			rm -f "$log"
			return 0
		fi
		if grep -q 'Failing input written' "$log" || ! grep -q 'context deadline exceeded' "$log"; then
			break
		fi
		echo "try $try of $2 ended with the engine's own time-out and no finding"
	done
	tail -n 60 "$log"
	rm -f "$log"
	return 1
}

targets=$(grep -rHoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed -E 's|^\./||; s|/[^/]*:func |:|' | sort || true)
count=0
for target in $targets; do
	time=${FUZZTIME:-10s}
	if test "${target##*:}" = FuzzDifferential; then time=${DIFFERENTIAL_FUZZTIME:-30s}; fi
	echo "fuzz ${target%%:*} ${target##*:} for $time"
	run_target "${target%%:*}" "${target##*:}" "$time"
	count=$((count + 1))
done
echo "$count fuzz targets ran"
test "$count" -gt 0 # none found is a fault of this script, not a success
