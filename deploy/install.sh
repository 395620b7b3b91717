#!/bin/sh
# Installs bin/gatehouse (`make build`) as a systemd service. It overwrites the
# program and the unit, never a config, and starts nothing.
set -eu
cd "$(dirname "$0")/.."
test -x bin/gatehouse || { echo "no bin/gatehouse: run \`make build\` first" >&2; exit 1; }
test "$(id -u)" -eq 0 || { echo "run it as root" >&2; exit 1; }

getent group gatehouse >/dev/null || groupadd --system gatehouse
getent passwd gatehouse >/dev/null ||
	useradd --system --gid gatehouse --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin gatehouse
install -D -m 0755 bin/gatehouse /usr/local/bin/gatehouse
install -D -m 0644 deploy/gatehouse.sysusers /etc/sysusers.d/gatehouse.conf
install -D -m 0644 deploy/gatehouse.service /etc/systemd/system/gatehouse.service
install -d -m 0750 -o root -g gatehouse /etc/gatehouse
if ! test -e /etc/gatehouse/gatehouse.yaml; then
	install -m 0640 -o root -g gatehouse deploy/examples/loopback.yaml /etc/gatehouse/gatehouse.yaml
fi
echo "Edit /etc/gatehouse/gatehouse.yaml, then:"
echo "  runuser -u gatehouse -- gatehouse check -c /etc/gatehouse/gatehouse.yaml --online"
echo "  systemctl daemon-reload && systemctl enable --now gatehouse"
