#!/usr/bin/env bash
## removes each check of the policy, of the route classifier and of what the cache may give out in turn; a test must notice (95 %)
set -euo pipefail
cd "$(dirname "$0")/../../.."

# A removed check can make a loop endless: it is to end by its time, not by taking all memory.
ulimit -v 8000000
files=$(find authz proxy/freeze proxy/shadow proxy/route -name '*.go' ! -name '*_test.go' | sort; echo proxy/content/{accept,ledger,note,purge,tag,watch}.go)
# shellcheck disable=SC2086 # one argument a file
time go run ./cmd/internal/mutate -min 95 -equivalent cmd/internal/mutate/equivalent.txt -run 'proxy/route=^Test([^D]|Digests)' -run 'proxy/content=^Test(Accepts|AskedFirst|Forgotten|Hints|Ledger|NeverMade|Notes|OlderIsNotNewer|Purges|MadeOfAList|OlderYes|PutByDigest|Resolve|SameAs|SaysNo|Standings|Suspects|Tags|Vouched|What|Who|Within)' $files
