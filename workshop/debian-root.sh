#!/bin/sh
# usage: debian-root.sh RELEASE NAME [PACKAGE,...]
# Prints the path of a minimal Debian root with these packages; it is built once into .lab/cache.
set -eu
cd "$(dirname "$0")/.."
release=$1 name=$2 packages=${3-}
made_from=$({ cat "$0"; echo "$*"; } | sha256sum | cut -c 1-12)
cache=${ZLH_LAB_CACHE:-.lab/cache}
root=$cache/$name-$made_from
if [ ! -d "$root" ]; then
    echo "building a $release root in $root" >&2
    mkdir -p "$cache"
    chmod 700 "$cache"
    rm -rf "$root.unfinished"
    # Debian 12 would bring perl only to merge /usr; Debian 13 is born merged.
    [ "$release" != bookworm ] || set -- --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr --include=usr-is-merged
    [ "$release" = bookworm ] || set --
    mmdebstrap --quiet --variant=minbase --format=directory "$@" ${packages:+"--include=$packages"} "$release" \
        "$root.unfinished" >&2
    mv "$root.unfinished" "$root"
fi
echo "$root"
