#!/bin/sh
# All tests but the long matrices, part by part; every part runs, and the end says how each went and how long it took.
# A part that ends with 77 can't be run here, which is a failure in CI.
# shellcheck disable=SC2317 # part calls the functions
set -u
cd "$(dirname "$0")/.." || exit 1
summary='' failed=0

part() { # NAME COMMAND...
    name=$1 began=$(date +%s)
    shift
    printf '\n===== %s\n' "$name"
    "$@"
    case $?,${CI:-} in
    0,*) outcome=passed ;;
    77,) outcome=SKIPPED ;;
    *) outcome=FAILED failed=1 ;;
    esac
    summary="$summary$(printf '%-7s %4d s  %s' "$outcome" $(($(date +%s) - began)) "$name")
"
}

in_newest() {
    .venv/bin/python -m pytest --constraints=constraints/newest.txt "$@"
}

in_debian13() {
    .venv-debian13/bin/python -m pytest --constraints=constraints/debian13.txt "$@"
}

in_the_lab() {
    .venv/bin/python -m tests.lab missing || return 77
    in_newest "$@"
}

# Many tests wait for processes more than they compute: three share two cores.
part 'unit tests, newest libraries' in_newest -n 3 --dist worksteal -m 'not lab and not matrix'
part 'unit tests, the library versions of Debian 13' \
    in_debian13 -n 2 --dist worksteal -m 'not lab and not matrix and not peer and not process'
part "unit tests, Debian 13's own Python and libraries" workshop/debian13.sh
part 'tests on real containers' in_the_lab -m 'lab and not matrix'
printf '\n%s' "$summary"
exit "$failed"
