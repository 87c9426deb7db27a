#!/bin/sh
# All tests but the long matrices, part by part; every part runs, and the end says how each went and how long it took.
set -u
cd "$(dirname "$0")/.." || exit 1
summary='' failed=0

part() { # NAME COMMAND...
    name=$1 began=$(date +%s)
    shift
    printf '\n===== %s\n' "$name"
    if "$@"; then outcome=passed; else outcome=FAILED failed=1; fi
    summary="$summary$(printf '%-7s %4d s  %s' "$outcome" $(($(date +%s) - began)) "$name")
"
}

part 'unit tests, newest libraries' .venv/bin/python -m pytest -n 2 -m 'not lab and not matrix'
part 'unit tests, the library versions of Debian 13' \
    .venv-debian13/bin/python -m pytest -n 2 -m 'not lab and not matrix and not peer'
part "unit tests, Debian 13's own Python and libraries" workshop/debian13.sh
part 'tests on real containers' .venv/bin/python -m pytest -m 'lab and not matrix'
printf '\n%s' "$summary"
exit "$failed"
