#!/bin/sh
# usage: deb.sh [--unchecked] [DIRECTORY [COMMIT]]
# The Debian packages of the last commit, or of another, into dist or another directory. They are built in a Debian 13 root
# without a network, from what the commit holds and the libraries of constraints/vendored.txt; lintian may find no fault, if
# it is asked. The same commit gives the same bytes. Exit code 77: it can't be done here.
set -eu
cd "$(dirname "$0")/.."
check=lintian
[ "${1-}" != --unchecked ] || { check=: && shift; }
target=${1:-dist} commit=${2:-HEAD}

missing=''
for program in git mmdebstrap unshare; do
    command -v "$program" >/dev/null || missing="$missing $program"
done
if [ "$(id -u)" -ne 0 ] || [ -n "$missing" ]; then
    echo "packages are built in a Debian 13 root, which needs root${missing:+, and here is missing:$missing}" >&2
    exit 77
fi

list_needed() { # what the build and its check need, by the names alone
    echo build-essential lintian
    sed -n '/^Build-Depends:/,/^[A-Z]/s/^ \([a-z0-9.+-]*\).*/\1/p' debian/control
}

vendored=build/vendor
workshop/vendor.sh "$vendored"
root=$(workshop/debian-root.sh trixie package-build "$(list_needed | tr -s ' \n' ',' | sed 's/,$//')")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
mkdir -p "$scratch/source/debian/vendor"
git archive --format=tar "$commit" | tar -x -C "$scratch/source"
for library in "$vendored"/*/; do
    case $library in
    *.dist-info/ | */bin/) ;;
    *) cp -R "$library" "$scratch/source/debian/vendor" ;;
    esac
done
find "$scratch/source/debian/vendor" -name __pycache__ -prune -exec rm -rf {} +
find "$scratch/source/debian/vendor" -exec touch -d "@$(git log -1 --format=%ct "$commit")" {} +

# shellcheck disable=SC2016 # the inner shell's own variable
workshop/inside.sh --read-only "$root" "$scratch" sh -euc '
    cd /mnt/source
    dpkg-buildpackage --no-sign --build=full
    cd ..
    "$1" --allow-root --display-info --fail-on error,warning *.changes
' sh "$check"
mkdir -p "$target"
rm -f "$target"/zlh-*.deb
cp "$scratch"/*.deb "$target"
(cd "$target" && sha256sum -- *.deb)
