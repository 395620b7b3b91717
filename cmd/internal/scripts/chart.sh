#!/usr/bin/env bash
# Writes deploy/kubernetes/gatehouse.yaml, which is the Helm chart's output with its own
# values, and packs the chart as bin/gatehouse-VERSION.tgz where the version is one of a
# tag: cmd/internal/scripts/chart.sh VERSION
set -euo pipefail
cd "$(dirname "$0")/../../.."
HELM=${HELM:-helm.sh/helm/v3/cmd/helm@v3.22.0}

chart=deploy/helm/gatehouse version=${1#v}
go run "$HELM" lint --strict $chart
go run "$HELM" template gatehouse $chart >deploy/kubernetes/gatehouse.yaml
if [[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-|$) ]]; then
	mkdir -p bin
	go run "$HELM" package --version "$version" --app-version "$1" --destination bin $chart
fi
