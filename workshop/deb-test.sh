#!/bin/sh
# Builds the packages of the last commit twice, compares them byte by byte, and installs each into a fresh Debian root from
# nothing but Debian's archive, where debian/tests are run. Then these roots are booted, with systemd, beside real guests:
# tests/lab/test_installed*.py, which begin with the packages of an earlier commit. Exit code 77: it can't be done here.
set -eu
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
# What is upgraded from. It is the last commit before packages were tested so; once there is a release, let it be that.
earlier=0b8cfd81dba3b7c53883b212dd4720d6e51f7c2f

.venv/bin/python -m tests.lab missing || exit 77
commit=$(git rev-parse HEAD) # of all that follows, whatever is committed meanwhile
workshop/deb.sh dist "$commit"
(
    umask 077
    export TZ=Pacific/Apia LC_ALL=C
    workshop/deb.sh --unchecked "$scratch/again" "$commit"
)
for package in dist/zlh-*.deb; do
    cmp "$package" "$scratch/again/$(basename "$package")"
done
echo 'built twice, byte by byte the same'

mkdir "$scratch/machine" "$scratch/shared"
cp dist/zlh-*.deb "$scratch/machine"
if git cat-file -e "$earlier^{commit}" 2>/dev/null; then
    workshop/deb.sh --unchecked "$scratch/machine/before" "$earlier"
else
    echo "what is upgraded from is the SAME build under another version: this clone, a shallow one, has no commit $earlier"
fi
cp dist/zlh-*.deb "$scratch/shared"
git archive "$commit" debian/tests | tar -x -C "$scratch/shared"

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

keep() { # NAME: for a boot
    mv "$scratch/root" "$scratch/machine/$1"
}

# With an init, and what packages of other machines need to be installed below, where no archive is.
try trixie controller zlh-hooks --no-install-recommends systemd-sysv perl openssh-server
keep controller
try trixie node zlh-hooks-node systemd-sysv # as each node has
keep node
for release in bookworm trixie; do
    try "$release" plugin zlh-agent-plugin systemd-sysv
    keep "guest-$release"
done

echo '===== the same, booted'
.venv/bin/python -m pytest -n 2 --dist loadfile tests/lab/test_installed.py tests/lab/test_installed_plugin.py \
    --packages="$scratch/machine"
