#!/bin/sh
# The unit tests inside a Debian 13 root, with nothing but Debian's own Python and libraries.
# The root is built once into .lab/cache. Root and checkout are mounted read-only, in namespaces of their own without a
# network that end with the tests, so that nothing stays mounted. Exit code 77: it can't be done here.
set -eu
cd "$(dirname "$0")/.."

if [ "$(id -u)" -ne 0 ] || ! command -v mmdebstrap >/dev/null; then
    echo 'a Debian 13 root needs root and mmdebstrap'
    exit 77
fi

packages=$(grep -v '^#' workshop/debian13-root.txt | paste -sd,)
made_from=$({ cat "$0"; echo "$packages"; } | sha256sum | cut -c 1-12)
cache=${ZLH_LAB_CACHE:-.lab/cache}
root=$cache/unit-tests-$made_from
if [ ! -d "$root" ]; then
    echo "building a Debian 13 root in $root"
    mkdir -p "$cache"
    chmod 700 "$cache"
    rm -rf "$root.unfinished"
    mmdebstrap --quiet --variant=minbase --format=directory --include="$packages" \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' trixie "$root.unfinished"
    mv "$root.unfinished" "$root"
fi

# shellcheck disable=SC2016 # the inner shell's own variables
exec unshare --mount --propagation private --net --ipc --pid --fork --kill-child sh -euc '
    ip link set lo up
    mount --bind "$1" "$1" # so that / is a mount point inside, as tests that mount expect
    mount --bind . "$1/mnt"
    mount -o remount,bind,ro "$1/mnt"
    mount -t proc proc "$1/proc"
    mount --rbind /dev "$1/dev"
    mount -t tmpfs tmpfs "$1/tmp"
    mount -o remount,bind,ro "$1"
    exec env -i CI="$2" PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 \
        HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis \
        chroot "$1" sh -ec "cd /mnt && exec python3 -m pytest -p no:cacheprovider -n 2 \
            --constraints=constraints/debian13.txt --absent=a2s,aiohttp,fakepve,ical,mcstatus \
            -m \"not lab and not matrix and not peer\""
' sh "$root" "${CI:-}"
