#!/usr/bin/env bash
## all tests with real programs, conformance and the clients with the cache on, in memory and on disk; 200 kills while it is filled, a full disk, slow clients
set -euo pipefail
cd "$(dirname "$0")/../../.."

cmd/internal/scripts/test-deps.sh

# With the second one all blobs go to the disk.
for cache in '{}' '{dir: cache, small: 0}'; do
	export GATEHOUSE_CACHE="$cache"
	GATEHOUSE_NO_SKIP=1 GATEHOUSE_LOCKSTEP=${GATEHOUSE_LOCKSTEP:-2m} GATEHOUSE_SOAK=${GATEHOUSE_SOAK:-10m} \
		go test -count=1 -timeout 60m -v -skip '^Test(Trace|MovedLayer)$' ./cmd/e2e # what a registry is asked, and who reads what it sends, is another with a cache
	GATEHOUSE_NO_SKIP=1 go test -count=1 -timeout 20m -v -tags policy -run '^Test(Creates|Stays|Collection)$' ./cmd/e2e
	GATEHOUSE_NO_SKIP=1 go test -count=1 -timeout 20m -v -tags conformance -run '^Test(Conformance|CatalogPages)' ./cmd/e2e
	GATEHOUSE_NO_SKIP=1 go test -count=1 -timeout 40m -parallel 4 -v -tags clients -run '^TestClients$' ./cmd/e2e
done
unset GATEHOUSE_CACHE
GATEHOUSE_CASES=${GATEHOUSE_CASES:-100} go test -count=1 -timeout 60m -run '^TestCacheIsEqual$' ./proxy
GATEHOUSE_NO_SKIP=1 GATEHOUSE_KILLS=${GATEHOUSE_KILLS:-200} go test -count=1 -timeout 40m -v -tags cache -run '^Test(Killed|DiskCache|DamagedDisk|DiskFull|NoNames|FileLimit|SlowReaders|HerdOnDisk|ObjectStore|Zot)$' ./cmd/e2e
for target in proxy/content:FuzzDigestAt proxy/content:FuzzAccepts cmd/gatehouse/contents:FuzzPurge; do
	go test -run '^$' -fuzz "^${target#*:}\$" -fuzztime "${FUZZTIME:-60s}" "./${target%:*}"
done
