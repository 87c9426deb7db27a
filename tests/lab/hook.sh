#!/bin/sh
# LXC's hooks, told apart by LXC_HOOK_TYPE; $1 is the container's directory.
case "$LXC_HOOK_TYPE" in
start-host)
    echo "$LXC_PID" >"$1/init.new"
    mv "$1/init.new" "$1/init"
    ;;
post-stop)
    echo "$LXC_TARGET" >"$1/target"
    # As on Proxmox: LXC must not reboot by itself, because the guest's config may name another root by now.
    [ "$LXC_TARGET" != reboot ]
    ;;
esac
