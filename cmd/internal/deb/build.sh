#!/usr/bin/env bash
# Makes bin/gatehouse_VERSION_ARCH.deb, twice the same where commit, version and Go are:
#
#   cmd/internal/deb/build.sh VERSION LDFLAGS ARCH...      (amd64, arm64)
set -euo pipefail
cd "$(dirname "$0")/../../.."
here=cmd/internal/deb

# v1.2.3-rc1 sorts before 1.2.3 as 1.2.3~rc1, v1.2.3-4-gabc (commits after the tag) after
# it; a commit without a tag comes before all of them.
version=$(sed -E 's/^v//; s/-([0-9]+-g[0-9a-f]+)/+\1/; s/-dirty$/+dirty/; s/-(alpha|beta|rc)/~\1/; s/-/./g' <<<"$1")
if ! [[ $version =~ ^[0-9]+\. ]]; then version=0~$version; fi
ldflags=$2
shift 2
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022
cmd/internal/scripts/share.sh "$work/share"
gzip -9n "$work"/share/man/man?/*

# fill lays the files of one architecture out below a folder.
fill() {
	local root=$1
	CGO_ENABLED=0 GOOS=linux GOARCH=$2 go build -trimpath -ldflags "$ldflags" -o "$root/usr/bin/gatehouse" ./cmd/gatehouse
	cp -r "$work/share" "$root/usr/share"
	install -D -m 0644 -t "$root/usr/share/doc/gatehouse" README.md CHANGELOG.md
	for part in examples kubelet prometheus grafana; do
		install -D -m 0644 -t "$root/usr/share/doc/gatehouse/deploy/$part" deploy/$part/*
	done
	install -D -m 0644 -t "$root/usr/share/doc/gatehouse/docs" docs/*.md
	install -D -m 0644 deploy/gatehouse.sysusers "$root/usr/lib/sysusers.d/gatehouse.conf"
	install -D -m 0644 deploy/gatehouse.service "$root/lib/systemd/system/gatehouse.service"
	sed -i 's|/usr/local/bin/|/usr/bin/|' "$root/lib/systemd/system/gatehouse.service"
	install -D -m 0644 $here/gatehouse.yaml "$root/etc/gatehouse/gatehouse.yaml"
	mkdir "$root/DEBIAN"
	install -m 0755 -t "$root/DEBIAN" $here/postinst $here/prerm $here/postrm
	echo /etc/gatehouse/gatehouse.yaml >"$root/DEBIAN/conffiles"
	sed "s/@VERSION@/$version/; s/@ARCH@/$2/; s/@SIZE@/$(du -k --apparent-size -s "$root/usr" | cut -f 1)/" $here/control >"$root/DEBIAN/control"
	(cd "$root" && find etc lib usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
}

mkdir -p bin
for arch in "$@"; do
	mkdir -p "$work/$arch/usr"
	fill "$work/$arch" "$arch"
	find "$work/$arch" -exec touch -hd "@$SOURCE_DATE_EPOCH" {} +
	dpkg-deb --root-owner-group --threads-max=1 -Zxz --build "$work/$arch" "bin/gatehouse_${version}_$arch.deb"
done
