#!/bin/sh
# usage: vendor.sh DIRECTORY
# The pure-Python libraries that the agent plugin carries into guests, at the versions of constraints/newest.txt; fetched
# anew only when those have changed. `cryptography` is the guest's own.
set -eu
cd "$(dirname "$0")/.."
directory=$1
libraries='tuf securesystemslib urllib3 packaging'

made_from=$({ cat constraints/newest.txt "$0"; } | sha256sum)
if [ "$(cat "$directory/made-from" 2>/dev/null)" = "$made_from" ]; then exit 0; fi
rm -rf "$directory"
# shellcheck disable=SC2086 # one word each
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --only-binary :all: \
    --constraint constraints/newest.txt --target "$directory" $libraries
echo "$made_from" >"$directory/made-from"
