#!/bin/sh
# Builds the packages of the last commit twice, compares them byte by byte, and installs each into a fresh Debian root from
# nothing but Debian's archive, where debian/tests are run. Then the controller is booted beside real guests, with systemd:
# tests/lab/test_installed.py. Exit code 77: it can't be done here.
set -eu
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

.venv/bin/python -m tests.lab missing || exit 77
workshop/deb.sh dist
(
    umask 077
    export TZ=Pacific/Apia LC_ALL=C
    workshop/deb.sh "$scratch/again"
)
for package in dist/zlh-*.deb; do
    cmp "$package" "$scratch/again/$(basename "$package")"
done
echo 'built twice, byte by byte the same'

mkdir "$scratch/shared"
cp dist/zlh-*.deb "$scratch/shared"
git archive HEAD debian/tests | tar -x -C "$scratch/shared"

try() { # RELEASE TEST PACKAGE [WHAT THE TEST NEEDS]...
    echo "===== $3 on $1"
    base=$(workshop/debian-root.sh "$1" "fresh-$1")
    shift
    rm -rf "$scratch/root"
    cp -a --reflink=auto "$base" "$scratch/root"
    # shellcheck disable=SC2016 # the inner shell's own variables
    workshop/inside.sh --network "$scratch/root" "$scratch/shared" sh -euc '
        run() { "$@" >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }; }
        test=$1 package=$2
        shift 2
        run apt-get update -q
        [ $# -eq 0 ] || run apt-get install --yes -q "$@"
        run apt-get install --yes -q /mnt/"$package"_*.deb
        run dpkg --install /mnt/"$package"_*.deb # an upgrade to itself
        exec "/mnt/debian/tests/$test"
    ' sh "$@"
}

try trixie controller zlh-hooks systemd-sysv perl # an init, and what the node's package needs: it is booted below
mkdir "$scratch/machine"
mv "$scratch/root" "$scratch/machine/root"
cp dist/zlh-hooks_*.deb dist/zlh-hooks-node_*.deb "$scratch/machine"
try trixie node zlh-hooks-node systemd # as each node has
try trixie plugin zlh-agent-plugin
try bookworm plugin zlh-agent-plugin

echo '===== zlh-hooks and zlh-hooks-node on trixie, booted'
.venv/bin/python -m pytest tests/lab/test_installed.py --packages="$scratch/machine"
