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

begin_lab() { # real containers wait for their init more than they compute: they do so beside the other parts
    lab_log=$(mktemp)
    in_the_lab -m 'lab and not matrix' >"$lab_log" 2>&1 &
    lab=$!
}

end_lab() {
    wait "$lab"
    code=$?
    cat "$lab_log"
    rm -f "$lab_log"
    return "$code"
}

begin_lab
# Many tests wait for processes more than they compute: four share two cores.
part 'unit tests, newest libraries' in_newest -n 4 --dist worksteal -m 'not lab and not matrix'
part "unit tests, Debian 13's own Python and libraries" workshop/debian13.sh
# Debian has neither fakepve nor the other ends of some protocols: here is what that root could not try.
part 'what needs test libraries that Debian lacks, with the library versions of Debian 13' \
    in_debian13 -n 2 --dist worksteal -m 'not lab and not matrix and not peer and not process' \
    tests/adapters tests/agent/test_publication.py tests/cli tests/contracts tests/stand_in
part 'tests on real containers, beside those before' end_lab
printf '\n%s' "$summary"
exit "$failed"
