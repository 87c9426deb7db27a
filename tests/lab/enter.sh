#!/bin/sh
# usage: enter.sh [LOWER|- VOLUME PATH]... -- COMMAND [ARGUMENT]...
# Runs COMMAND where LXC can work: in a network namespace it was started in, with a /sys that shows that namespace and
# still all of the machine's cgroups. Volumes are mounted below /mnt/root, over a tree LOWER if
# they have one. All of it lives in a mount namespace of its
# own, so that nothing is left to unmount, and below /mnt, because an unprivileged guest may not pass through a private
# directory such as /root.
set -e
mount -t tmpfs -o mode=0755 tmpfs /mnt
mkdir /mnt/cgroup /mnt/root
mount --rbind /sys/fs/cgroup /mnt/cgroup
mount -t sysfs sysfs /sys
mount --rbind /mnt/cgroup /sys/fs/cgroup
# Where newuidmap is installed LXC uses it, and it wants root's ids listed: here only, not in the machine's own files.
echo root:100000:65536 >/mnt/ids
for list in /etc/subuid /etc/subgid; do
    [ ! -e "$list" ] || mount --bind /mnt/ids "$list"
done
while [ "$1" != -- ]; do
    mkdir -p "/mnt/root$3"
    if [ "$1" = - ]; then
        mount --bind "$2/fs" "/mnt/root$3"
    else
        mount -t overlay -o "lowerdir=$1,upperdir=$2/fs,workdir=$2/work" overlay "/mnt/root$3"
    fi
    shift 3
done
shift
exec "$@"
