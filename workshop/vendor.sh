#!/bin/sh
# usage: vendor.sh DIRECTORY
# The pure-Python libraries that the agent plugin carries into guests, exactly the files of constraints/vendored.txt; fetched
# anew only when that has changed. `cryptography` is the guest's own.
set -eu
cd "$(dirname "$0")/.."
directory=$1
pins=constraints/vendored.txt

made_from=$({ cat "$pins" "$0"; } | sha256sum)
if [ "$(cat "$directory/made-from" 2>/dev/null)" = "$made_from" ]; then exit 0; fi
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
pip() { .venv/bin/python -m pip --quiet --disable-pip-version-check "$@"; }
pip download --no-deps --only-binary :all: --require-hashes --requirement "$pins" --dest "$wheels"
rm -rf "$directory"
pip install --no-index --no-deps --no-compile --target "$directory" "$wheels"/*.whl
echo "$made_from" >"$directory/made-from"
