# Sourced by the load scripts. LATHE_PROGRAM is the program; LATHE_SCRATCH a folder with room (default: the system's for
# temporary files). They print figures and end with 0 if what docs/reliability.md promises holds.
set -euo pipefail
: "${LATHE_PROGRAM:?the program}"
work=$(mktemp -d -p "${LATHE_SCRATCH:-${TMPDIR:-/tmp}}")
trap 'rm -rf "$work"' EXIT
cd "$work"
fail() {
    echo "FAILED: $*" >&2
    exit 1
}
echo "$(basename "$0"), $(date -u +%F), $(nproc) processors, $(awk -F': ' '/model name/ {print $2; exit}' /proc/cpuinfo)"
# measured ARGUMENTS...: runs the program; leaves the largest resident memory in MiB in $peak, seconds in $seconds. Anonymous
# memory ($private, MiB) is what the program holds for itself; the rest is pages of mapped inputs, which the system may take.
measured() {
    local begin now child
    begin=$(date +%s.%N)
    peak=0 private=0
    "$LATHE_PROGRAM" "$@" >out.txt 2>err.txt </dev/null &
    child=$!
    while now=$(awk '/VmHWM/ {h = $2} /RssAnon/ {a = $2} END {if (h) print int(h / 1024), int(a / 1024)}' /proc/$child/status 2>/dev/null) && [[ -n $now ]]; do
        [[ ${now% *} -le $peak ]] || peak=${now% *}
        [[ ${now#* } -le $private ]] || private=${now#* }
        sleep 0.02
    done
    wait "$child" || fail "lathe $1: $(<err.txt)"
    seconds=$(awk -v a="$begin" -v b="$(date +%s.%N)" 'BEGIN {printf "%.1f", b - a}')
}
# A checkpoint of COUNT matrices (F32 or BF16) of zeros that takes no room on the disk.
sparse() { # FILE TYPE COUNT ROWS COLS
    local size=$(($4 * $5 * ($([[ $2 == BF16 ]] && echo 2 || echo 4)))) header='{' at=0 i
    for ((i = 0; i != $3; ++i)); do
        header+='"layers.'$i'.weight":{"dtype":"'$2'","shape":['$4,$5'],"data_offsets":['$at,$((at + size))']},'
        at=$((at + size))
    done
    header=${header%,}'}'
    local length=$(((${#header} + 7) / 8 * 8))
    printf -v header "%-${length}s" "$header"
    printf "\\x$(printf %02x $((length & 255)))\\x$(printf %02x $((length >> 8 & 255)))\\x$(printf %02x $((length >> 16)))\\0\\0\\0\\0\\0%s" "$header" >"$1"
    truncate -s $((8 + length + at)) "$1"
}
