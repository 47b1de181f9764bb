#!/usr/bin/env bash
# What must not compile does not, and the compiler says why. Each file states in its first line a regular expression
# that the diagnostics have to match (// expect: ...); with -DLATHE_NEGATIVE_CONTROL the same file does compile, so that
# the failure is for that reason and no other.
#   check.sh                     all of them
#   check.sh COMPILER FILE       one of them
source "$(dirname "$0")/../support/tree.sh"

if [ $# = 2 ]; then
    expected=$(sed -n '1s,^// expect: ,,p' "$2")
    compile=($1 -std=c++20 "${includes[@]}" -Itests/support -fsyntax-only "$2")
    fail() {
        echo "FAIL $compiler $file: $1"
        head -n 20 <<< "$diagnostics"
        exit 1
    }
    compiler=$1 file=$2 diagnostics=
    [ -n "$expected" ] || fail "the first line is not // expect: REGEX"
    diagnostics=$("${compile[@]}" -DLATHE_NEGATIVE_CONTROL 2>&1) || fail "the control does not compile"
    diagnostics=$("${compile[@]}" 2>&1) && fail "it compiles"
    grep -q 'error:' <<< "$diagnostics" || fail "the compiler failed without an error"
    grep -qE -- "$expected" <<< "$diagnostics" || fail "no diagnostic matches '$expected'"
    echo "ok   $compiler $(basename "$file" .cpp) ($(wc -l <<< "$diagnostics") lines)"
    exit 0
fi

for compiler in $(compilers); do
    find tests/negative -name '*.cpp' | sort | sed "s|^|$compiler |"
done > "$work/jobs"
[ -s "$work/jobs" ] || { echo "no file, no compiler" && exit 1; }
jobs_of < "$work/jobs"
