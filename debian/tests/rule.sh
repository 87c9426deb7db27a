# Sourced by the tests: each rule is a sentence and a command that must end well.
# shellcheck shell=sh
export LC_ALL=C.UTF-8

rule() { # SENTENCE COMMAND...
    sentence=$1
    shift
    if said=$("$@" 2>&1); then
        echo "ok: $sentence"
    else
        printf 'FAILED: %s\n%s\n' "$sentence" "$said"
        exit 1
    fi
}

fails() { # CODE PATTERN COMMAND...: it ends with that code, and says so
    code=$1 pattern=$2 ended=0
    shift 2
    told=$("$@" 2>&1) || ended=$?
    echo "$told"
    [ "$ended" -eq "$code" ] && echo "$told" | grep -q -e "$pattern"
}

says() { # PATTERN COMMAND...
    pattern=$1
    shift
    told=$("$@" 2>&1) || return
    echo "$told"
    echo "$told" | grep -q -e "$pattern"
}

is() { # WANTED COMMAND...
    wanted=$1
    shift
    told=$("$@") || return
    echo "$told"
    [ "$told" = "$wanted" ]
}

left_nothing() { # no file of this system has a name of ours, but what dpkg and apt keep of every package, and the tests
    left=$(find / -xdev -path /proc -prune -o -path /mnt -prune -o -path /var/cache -prune -o -path /var/lib/apt -prune \
        -o \( -iname '*zlh*' -o -name '*agent_plugin*' \) -print)
    echo "$left"
    [ -z "$left" ]
}

purge() { DEBIAN_FRONTEND=noninteractive dpkg --purge "$1"; }
