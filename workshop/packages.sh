#!/bin/sh
# Install the Debian packages of constraints/debian-packages.txt that are missing; without root, say which.
set -eu
cd "$(dirname "$0")/.."
list=constraints/debian-packages.txt

is_there() { # PACKAGE [PROGRAM that does instead]
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ] || command -v "${2:-/nonexistent}" >/dev/null
}

missing=
while read -r package word program; do
    case $package in '' | '#'*) continue ;; esac
    [ "$word" = unless ] || program=
    is_there "$package" "${program%% *}" || missing="$missing $package"
done <"$list"
[ -n "$missing" ] || exit 0

echo "Debian packages that are missing here, and what for ($list):"
for package in $missing; do
    grep -E "^$package( |\$)" "$list"
done
install="apt-get install --yes --no-install-recommends$missing"
if [ "$(id -u)" -ne 0 ]; then
    echo "Not root, so nothing is installed; what needs them is left out. As root: $install"
elif ! command -v apt-get >/dev/null; then
    echo "This is not Debian (12 and 13 are tested, others are not): install their like by hand."
else
    export DEBIAN_FRONTEND=noninteractive
    apt-get update --quiet || echo 'Some package sources did not answer; going on with what is known of them.'
    # shellcheck disable=SC2086 # a list of words
    apt-get install --yes --no-install-recommends --quiet $missing
fi
