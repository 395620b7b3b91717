# `make help` lists what can be done here.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# go.mod names the Go version that is needed; an older Go fetches it by itself.
export GOTOOLCHAIN := auto

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.releaseVersion=$(VERSION) -X main.releaseCommit=$(COMMIT)

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0

# What packages and images are made for.
ARCHITECTURES ?= amd64 arm64
CERTIFICATES  ?= /etc/ssl/certs/ca-certificates.crt

# The gateway that `make bench` holds ours against: the last before it was made lean.
BENCH_BASE ?= 61990bc19c6115fdbe198fad976f24a88d62fbf4

# Binaries of docker_auth and of zot that `make bench` measures beside ours; empty: none.
BENCH_DOCKER_AUTH ?=
BENCH_ZOT         ?=

# How long each fuzz target runs in `make test`.
FUZZTIME ?= 10s

# A slow suite is one executable file, cmd/internal/suites/NAME.sh, whose second line
# is `## what it does`: it is then the target NAME, in `make help` and `make full`.
SUITES := $(patsubst cmd/internal/suites/%.sh,%,$(wildcard cmd/internal/suites/*.sh))

.PHONY: help build share deb chart image sbom demo test fuzz lint bench full $(SUITES)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile
	@for s in $(SUITES); do printf '  make %-14s %s\n' "$$s" "$$(sed -n '2s/^## //p' "cmd/internal/suites/$$s.sh")"; done

build: ## bin/gatehouse, one static binary
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/gatehouse ./cmd/gatehouse

share: ## bin/share: man pages, and completion for bash, zsh and fish
	cmd/internal/scripts/share.sh bin/share

deb: ## bin/gatehouse_VERSION_ARCH.deb for amd64 and arm64
	cmd/internal/deb/build.sh '$(VERSION)' '$(LDFLAGS)' $(ARCHITECTURES)

chart: ## deploy/kubernetes from the Helm chart; of a tag, bin/gatehouse-VERSION.tgz
	cmd/internal/scripts/chart.sh '$(VERSION)'

image: ## bin/image, an OCI layout for amd64 and arm64 (skopeo copy --all oci:bin/image docker://...)
	for arch in $(ARCHITECTURES); do CGO_ENABLED=0 GOOS=linux GOARCH=$$arch go build -trimpath -ldflags '$(LDFLAGS)' -o bin/gatehouse-$$arch ./cmd/gatehouse; done
	go run ./cmd/internal/image -o bin/image '$(VERSION)' $(CERTIFICATES) $(foreach arch,$(ARCHITECTURES),linux/$(arch)=bin/gatehouse-$(arch))

sbom: build ## bin/gatehouse.spdx.json: every module of bin/gatehouse, as SPDX
	go run ./cmd/internal/sbom bin/gatehouse '$(VERSION)' >bin/gatehouse.spdx.json

demo: ## a directory, a registry and the gateway on this machine, to try it out (ONCE=1: check and stop)
	@go run ./cmd/demo $(if $(filter 1,$(ONCE)),-once)

test: ## everything, end to end too, in minutes; installs what is missing on Debian; a skip is a failure
	@cmd/internal/scripts/test-deps.sh
	@go build ./... && go vet ./...
	@GATEHOUSE_NO_SKIP=1 FUZZTIME=$(FUZZTIME) cmd/internal/scripts/test.sh

fuzz: ## each fuzz target alone, FUZZTIME (10s) each
	@FUZZTIME=$(FUZZTIME) cmd/internal/scripts/fuzz.sh

lint: ## gofmt, vet, staticcheck, known vulnerabilities
	@out=$$(gofmt -l .); test -z "$$out" || { echo "gofmt would change:"; echo "$$out"; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...
	@GOVULNCHECK=$(GOVULNCHECK) cmd/internal/scripts/vulncheck.sh

bench: ## the gateway against a bare registry and nginx, Go benchmarks; writes docs/performance.md
	go run ./cmd/bench -page docs -base '$(BENCH_BASE)' -docker-auth '$(BENCH_DOCKER_AUTH)' -zot '$(BENCH_ZOT)'

full: test lint bench $(SUITES) ## all of the above and every slow suite

$(SUITES): ## (in help by the loop above)
	cmd/internal/suites/$@.sh
