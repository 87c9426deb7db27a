#!/bin/sh
# usage: inside.sh (--read-only|--network) ROOT SHARED COMMAND...
# Runs a command in a Debian root that does not run, in namespaces that end with it: nothing stays mounted, no process stays.
# SHARED is its /mnt, and writable. With --read-only the root stays as it is, and there is no network but loopback.
set -eu
how=$1 root=$2 shared=$3
shift 3
case $how in
--read-only) set -- --net "$@" ;;
--network) cat /etc/resolv.conf >"$root/etc/resolv.conf" && set -- --ipc "$@" ;;
*) echo "inside.sh: $how: --read-only or --network is wanted" >&2 && exit 2 ;;
esac
namespace=$1
shift
# shellcheck disable=SC2016 # the inner shell's own variables
exec unshare --mount --propagation private "$namespace" --ipc --pid --fork --kill-child sh -euc '
    how=$1 root=$2 shared=$3
    shift 3
    [ "$how" = --network ] || ip link set lo up
    mount --bind "$root" "$root"
    mount --bind "$shared" "$root/mnt"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/tmp"
    [ "$how" = --network ] || mount -o remount,bind,ro "$root"
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        chroot "$root" "$@"
' sh "$how" "$root" "$shared" "$@"
