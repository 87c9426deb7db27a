#!/bin/sh
# Bring what constraints/debian-packages.txt names. As root: print the list and install it, without starting any
# service. Without root: print the command. Nothing is asked of the network when all is there.
set -eu
cd "$(dirname "$0")/.."
list=constraints/debian-packages.txt

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

list_missing() {
    sed 's/#.*//' "$list" | while read -r package how program; do
        case $how in
        '') [ -z "$package" ] || is_installed "$package" || echo "$package" ;;
        unless) command -v "$program" >/dev/null || echo "$package" ;;
        esac
    done
}

list_unpacked() {
    sed 's/#.*//' "$list" | while read -r package how _; do
        [ "$how" != unpacked ] || command -v "$package" >/dev/null || [ -d ".lab/$package" ] || echo "$package"
    done
}

forbid_services() {
    policy=/usr/sbin/policy-rc.d
    [ ! -e "$policy" ] || return 0
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
}

update_lists() {
    # One foreign source that is out of order must not stop us; what we need from it fails below, by name.
    apt-get update -q || echo "apt-get update failed for some source; going on with what is known"
}

unpack() {
    scratch=.lab/$1.unfinished
    rm -rf "$scratch"
    mkdir -p "$scratch"
    (cd "$scratch" && apt-get download -q "$1") && dpkg -x "$scratch"/*.deb "$scratch" || return
    rm "$scratch"/*.deb
    mv "$scratch" ".lab/$1"
}

if ! command -v apt-get >/dev/null; then
    echo "This is no Debian, and untested. Wanted are the packages of $list, by the names they have here."
    exit 0
fi
missing=$(list_missing | tr '\n' ' ')
unpacked=$(list_unpacked | tr '\n' ' ')
[ -n "$missing$unpacked" ] || exit 0
install="apt-get install --yes --no-install-recommends $missing"

if [ "$(id -u)" -ne 0 ]; then
    [ -z "$missing" ] || printf 'Not root, and Debian packages are missing. First run:\n  sudo %s\n' "$install"
else
    echo "Debian packages that are missing here, and what for ($list):"
    for package in $missing $unpacked; do grep -E "^$package( |\$)" "$list"; done
    update_lists
    if [ -n "$missing" ]; then
        forbid_services
        DEBIAN_FRONTEND=noninteractive $install -q -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300
    fi
fi
for package in $unpacked; do
    unpack "$package" || echo "$package could not be downloaded from Debian; tests that need it are skipped"
done
