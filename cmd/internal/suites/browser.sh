#!/usr/bin/env bash
## every page in Chromium: both themes, narrow and wide, axe-core, an attacker's page, hostile texts
# With GATEHOUSE_SCREENSHOTS=FOLDER a picture of each page is kept there.
set -euo pipefail
cd "$(dirname "$0")/../../.."
cmd/internal/scripts/test-deps.sh chromium:chromium npm:npm
axe=$(mktemp -d)
trap 'rm -rf "$axe"' EXIT
(cd "$axe" && npm pack --silent axe-core@4.14.1 >/dev/null && tar -xzf axe-core-4.14.1.tgz package/axe.min.js)
GATEHOUSE_AXE="$axe/package/axe.min.js" go test -count=1 -timeout 30m -tags browser -v ./cmd/e2e/browser
