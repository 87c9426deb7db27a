#!/bin/sh
# Style, types (of the benchmarks too, which no test runs), the import table, and every shell script.
set -eu
cd "$(dirname "$0")/.."

.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy -p zlh_hooks -p agent_plugin -p tests.datacentre
.venv/bin/mypy --follow-imports=silent benchmarks/*.py
.venv/bin/python -m pytest --quiet tests/test_import_table.py
if command -v shellcheck >/dev/null; then
    scripts=$(find .ci workshop tests hookscripts agent_plugin debian -type f \
        -exec awk 'FNR == 1 && /^#!.*\/(env )?(ba)?sh/ { print FILENAME }' {} +)
    # shellcheck disable=SC2086 # a list of words
    shellcheck $scripts
else
    echo 'left out: shellcheck is not installed'
    [ -z "${CI:-}" ]
fi
