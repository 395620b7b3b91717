#!/usr/bin/env bash
## the race detector over every package's own tests, and in the real gateway without a cache, with one in memory and one on disk
set -euo pipefail
cd "$(dirname "$0")/../../.."

cmd/internal/scripts/test-deps.sh
cmd/internal/scripts/test-deps.sh gcc:gcc /usr/include/stdio.h:libc6-dev

# The benches are programs of their own, in which it would see nothing.
packages=$(go list ./... | grep -vE '/cmd/(e2e|bench)')
GATEHOUSE_NO_SKIP=1 CGO_ENABLED=1 go test -count=1 -timeout 40m -race $packages

# The gateway of these is a program of its own too, but built with the detector: what it finds is in
# a log, and fails the test. The last one keeps all blobs on the disk.
for cache in '' '{}' '{dir: cache, small: 0}'; do
	GATEHOUSE_CACHE="$cache" GATEHOUSE_RACE=1 GATEHOUSE_NO_SKIP=1 GATEHOUSE_LOCKSTEP=${GATEHOUSE_LOCKSTEP:-1m} GATEHOUSE_SOAK=${GATEHOUSE_SOAK:-2m} \
		go test -count=1 -timeout 30m -v -run '^Test(Lockstep|CeilingLockstep|Soak|Crane|CutPush|UpstreamOutage|Reloads)$' ./cmd/e2e
done
GATEHOUSE_RACE=1 GATEHOUSE_NO_SKIP=1 GATEHOUSE_KILLS=${GATEHOUSE_KILLS:-20} \
	go test -count=1 -timeout 30m -v -tags cache -run '^Test(ContentCache|DiskCache|DiskFull|FileLimit|Killed|HerdOnDisk|Purge)$' ./cmd/e2e
