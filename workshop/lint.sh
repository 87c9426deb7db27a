#!/bin/sh
# Style, types, the import table, and every shell script.
set -eu
cd "$(dirname "$0")/.."

.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
.venv/bin/python -m pytest --quiet tests/test_import_table.py
if command -v shellcheck >/dev/null; then
    find .ci workshop tests hookscripts agent_plugin debian -type f \
        -exec awk 'FNR == 1 && /^#!.*\/(env )?(ba)?sh/ { print FILENAME }' {} + | xargs shellcheck
else
    echo 'left out: shellcheck is not installed'
    [ -z "${CI:-}" ]
fi
