#!/usr/bin/env bash
# Every public header compiles by itself, twice in a row, without a warning, with every compiler.
#   check.sh                     all of them
#   check.sh COMPILER HEADER     one of them
source "$(dirname "$0")/../support/tree.sh"

if [ $# = 2 ]; then
    if ! printf '#include <%s>\n#include <%s>\n' "$2" "$2" |
        $1 -std=c++20 "${warnings[@]}" -Wsign-conversion "${includes[@]}" -fsyntax-only -x c++ - 2>&1; then
        echo "FAIL $1 $2"
        exit 1
    fi
    exit 0
fi

asked=$(compilers)
for compiler in $asked; do
    public_headers | sed "s|^|$compiler |"
done > "$work/jobs"
[ -s "$work/jobs" ] || { echo "no header, no compiler" && exit 1; }
jobs_of < "$work/jobs"
echo "$(public_headers | wc -l) headers compile by themselves with:" $asked
