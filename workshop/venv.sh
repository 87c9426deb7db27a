#!/bin/sh
# usage: venv.sh DIRECTORY CONSTRAINTS EXTRA[,EXTRA]
# A virtual environment with this project and its extras; built anew only when what it is made from has changed.
set -eu
cd "$(dirname "$0")/.."
directory=$1 constraints=$2 extras=$3

serves() { # PYTHON: new enough, and able to make virtual environments
    "$1" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

for python in python3 /usr/bin/python3 none; do
    if serves "$python"; then break; fi
done
if [ "$python" = none ]; then
    echo "Python 3.11 or newer with venv is needed (Debian 12 and 13: apt-get install python3-venv)" >&2
    exit 1
fi

made_from=$({ cat pyproject.toml constraints/*.txt "$0" && echo "$extras $PWD" && "$python" -VV; } | sha256sum)
if [ "$(cat "$directory/made-from" 2>/dev/null)" = "$made_from" ]; then exit 0; fi
echo "$directory: with $constraints, on $("$python" -V)"
"$python" -m venv --clear "$directory"
"$directory/bin/python" -m pip install --quiet --disable-pip-version-check --constraint "$constraints" --editable ".[$extras]"
echo "$made_from" >"$directory/made-from"
