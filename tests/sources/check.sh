#!/usr/bin/env bash
# Our own sources are accepted by the compiler that does not build them (the second one; g++ builds everything).
#   check.sh                     all of them
#   check.sh COMPILER SOURCE     one of them
source "$(dirname "$0")/../support/tree.sh"

if [ $# = 2 ]; then
    if ! $1 -std=c++20 "${warnings[@]}" "${includes[@]}" -Itests/support "-I$(dirname "$2")" -I"$build/include" \
        -DLATHE_TEST_DATA='"tests/data"' -DLATHE_TEST_PYTHON='"python3"' -fsyntax-only "$2" 2>&1; then
        echo "FAIL $1 $2"
        exit 1
    fi
    exit 0
fi

for compiler in $(compilers); do
    [ "$(realpath "$(command -v "$compiler")")" = "$(realpath "$(command -v "${CXX:-g++}")")" ] && continue
    find tests examples bench -name '*.cpp' | grep -vE '^tests/(negative|odr|consumers)/' | sort | sed "s|^|$compiler |"
done > "$work/jobs"
[ -s "$work/jobs" ] || { echo "no source, no second compiler" && exit 1; }
jobs_of < "$work/jobs"
echo "$(wc -l < "$work/jobs") sources accepted by:" $(cut -d' ' -f1 "$work/jobs" | sort -u)
