#!/usr/bin/env bash
# Writes man pages and shell completion below a folder, where a distribution looks for
# them: cmd/internal/scripts/share.sh bin/share. Both come from the commands themselves.
set -euo pipefail
cd "$(dirname "$0")/../../.."

share=$(realpath -m "${1:?which folder}")
man=$share/man/man1 man5=$share/man/man5 bash=$share/bash-completion/completions zsh=$share/zsh/vendor-completions fish=$share/fish/vendor_completions.d
mkdir -p "$man" "$man5" "$bash" "$zsh" "$fish"
GATEHOUSE_MAN_PAGES=$man go test -count=1 -run '^TestManPages$' ./cmd/gatehouse >/dev/null
GATEHOUSE_MAN_PAGES=$man5 go test -count=1 -run '^TestManPage$' ./cmd/gatehouse/reference >/dev/null

program=$(mktemp -d)
trap 'rm -rf "$program"' EXIT
go build -o "$program/gatehouse" ./cmd/gatehouse
"$program/gatehouse" completion bash >"$bash/gatehouse"
"$program/gatehouse" completion zsh >"$zsh/_gatehouse"
"$program/gatehouse" completion fish >"$fish/gatehouse.fish"
