# shellcheck shell=sh
# Copies of the guest hook in snippets on disks of this node, as zlh-hooks-node puts them there: for maintainer scripts.

packaged=/usr/share/zlh-hooks/hookscripts/zlh-guest-hook

list_folders() { # of snippets: zlh-hooks-node puts the script on no network's
    echo /var/lib/vz/snippets
    awk 'function tell() { if (path != "") print path "/" place; path = ""; place = "snippets" }
        /^[a-z]/ { tell(); is_disk = $1 == "dir:" || $1 == "btrfs:" }
        is_disk && $1 == "path" { path = $2 }
        $1 == "content-dirs" && match($2, /snippets=[^,]+/) { place = substr($2, RSTART + 9, RLENGTH - 9) }
        END { tell() }' /etc/pve/storage.cfg 2>/dev/null || true
}

list_copies() { # and drafts of one that was killed; known by their second line, as zlh-hooks-node knows them
    list_folders | sort -u | while read -r folder; do
        for copy in "$folder"/zlh-guest-hook "$folder"/.zlh-guest-hook.*; do
            if [ -f "$copy" ] && [ ! -L "$copy" ] && sed -n 2p "$copy" | grep -q '^# zlh-guest-hook: '; then
                printf '%s\n' "$copy"
            fi
        done
    done
}

renew_copies() { # never fails: what is there goes on working
    list_copies | grep '/zlh-guest-hook$' | while read -r copy; do
        if cmp -s "$packaged" "$copy"; then
            :
        elif ! is_roots_alone "$copy"; then
            echo "$copy is left as it was: others than root may write there" >&2
        elif renew_copy "$(readlink -f "$copy")"; then
            echo "$copy is the one of this version now"
        else
            echo "$copy is left as it was: run zlh-hooks-node install" >&2
        fi
    done
}

# As root runs what lies there, nobody else may change it, nor exchange a folder or a link on the way to it.
is_roots_alone() { # FILE
    real=$(readlink -f "$1")
    [ "$(find "$real" "${real%/*}" -maxdepth 0 -user root ! -perm /022 | wc -l)" -eq 2 ] || return
    for place in "$1" "$real"; do
        while [ -n "$place" ]; do
            [ -n "$(find "$place" -maxdepth 0 -user root \( -type l -o ! -perm /022 -o -perm -1000 \))" ] || return
            place=${place%/*}
        done
    done
}

# Beside it, to the disk, and then in its place: whoever starts a guest meanwhile runs the old one or the new one.
renew_copy() { # FILE
    draft=$(dirname "$1")/.zlh-guest-hook.upgrade
    install -m 755 "$packaged" "$draft" && sync "$draft" && mv -f -T "$draft" "$1" && sync "$(dirname "$1")" && return
    rm -f "$draft"
    return 1
}
