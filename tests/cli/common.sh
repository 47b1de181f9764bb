# Sourced by the tests of the program. They run with LATHE_PROGRAM (the program) and LATHE_TEST_DATA (tests/data) in the
# environment, in a folder of their own that is removed at the end, and fail at the first expectation that does not hold.
set -euo pipefail
: "${LATHE_PROGRAM:?the program to test}" "${LATHE_TEST_DATA:?tests/data}"
data=$LATHE_TEST_DATA/merge
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() {
    echo "FAILED: $*" >&2
    exit 1
}
# run STATUS ARGUMENTS...: runs the program; leaves $out and $err; fails unless it ends with that status.
run() {
    local expected=$1 status=0
    shift
    "$LATHE_PROGRAM" "$@" >out.txt 2>err.txt </dev/null || status=$?
    out=$(<out.txt) err=$(<err.txt)
    [[ $status == "$expected" ]] || fail "lathe $*: exit status $status, expected $expected: $err"
}
# refuse STATUS PATTERN ARGUMENTS...: the same, and one line on standard error that matches the pattern, nothing on standard output.
refuse() {
    local status=$1 pattern=$2
    shift 2
    run "$status" "$@"
    [[ -z $out ]] || fail "lathe $*: standard output: $out"
    [[ $(wc -l <err.txt) == 1 ]] || fail "lathe $*: not one line: $err"
    [[ $err == "lathe: error: "* ]] || fail "lathe $*: $err"
    [[ $err =~ $pattern ]] || fail "lathe $*: '$err' does not match '$pattern'"
}
same() { cmp -s "$1" "$2" || fail "$1 and $2 differ"; }
# weights FILE COUNT ROWS COLS: a checkpoint of BF16 matrices layers.00.proj.weight, ... of random numbers without NaN, and a
# bias, and a norm.
cycle=$(for _ in $(seq 32); do printf '\\074\\075\\274\\076\\275\\077\\276\\277'; done)
weights() {
    local file=$1 count=$2 rows=$3 cols=$4 size=$(($3 * $4 * 2)) header='{' at=0 i name
    for ((i = 0; i != count; ++i)); do
        printf -v name 'layers.%02d.proj.weight' $i
        header+="\"$name\":{\"dtype\":\"BF16\",\"shape\":[$rows,$cols],\"data_offsets\":[$at,$((at + size))]},"
        at=$((at + size))
    done
    header+="\"norm.weight\":{\"dtype\":\"BF16\",\"shape\":[8],\"data_offsets\":[$at,$((at + 16))]}}"
    at=$((at + 16))
    local length=$(((${#header} + 7) / 8 * 8))
    printf -v header "%-${length}s" "$header"
    printf "\\x$(printf %02x $((length & 255)))\\x$(printf %02x $((length >> 8)))\\0\\0\\0\\0\\0\\0%s" "$header" >"$file"
    head -c $at /dev/urandom | LC_ALL=C tr '\000-\377' "$cycle" >>"$file"
}
