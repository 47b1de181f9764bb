#!/usr/bin/env bash
# Every public header compiles by itself, twice in a row, without a warning; all together do with every other compiler.
#   check.sh                     all of them
#   check.sh COMPILER HEADERS    some of them, as one file
source "$(dirname "$0")/../support/tree.sh"

if [ $# -ge 2 ]; then
    compiler=$1
    shift
    if ! printf '#include <%s>\n' "$@" "$@" |
        $compiler -std=c++20 "${warnings[@]}" -Wsign-conversion "${includes[@]}" -fsyntax-only -x c++ - 2>&1; then
        echo "FAIL $compiler $*"
        exit 1
    fi
    exit 0
fi

asked=$(compilers)
first=${asked%%$'\n'*}
for compiler in $asked; do
    if [ "$compiler" = "$first" ]; then
        public_headers | sed "s|^|$compiler |"
    else
        echo "$compiler" $(public_headers)
    fi
done > "$work/jobs"
[ -s "$work/jobs" ] || { echo "no header, no compiler" && exit 1; }
jobs_of < "$work/jobs"
echo "$(public_headers | wc -l) headers compile by themselves with $first, together with:" $asked
