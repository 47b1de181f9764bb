#!/usr/bin/env bash
# clang-tidy finds nothing, by .clang-tidy.
#   check.sh                 in the headers, all of them as one source, without the checks that take longest
#   check.sh FILE...         in sources, by the commands of the build (LATHE_BUILD), with all checks; a build with
#                            -DLATHE_COMPILE_TOGETHER=OFF has one for each source
source "$(dirname "$0")/../support/tree.sh"
if ! command -v clang-tidy-19 >/dev/null; then
    echo "tidy: clang-tidy-19 is not installed and was not asked"
    exit 0
fi

# g++ and clang differ in options; warnings are the compilers' business.
if [ $# != 0 ]; then
    clang-tidy-19 -p "$build" --quiet --extra-arg=-Wno-everything "$@"
    exit
fi

public_headers | sed 's|.*|#include <&>|' > "$work/headers.cpp"
[ -s "$work/headers.cpp" ] || { echo "no header" && exit 1; }
# The first takes as long as all others together, and the analyzer looks at the functions of a source alone.
said=$(clang-tidy-19 --quiet --config-file=.clang-tidy --checks='-performance-unnecessary-value-param,-clang-analyzer-*' \
    "$work/headers.cpp" -- -std=c++20 "${includes[@]}" 2>"$work/log") || { echo "$said" && cat "$work/log" && exit 1; }
echo "clang-tidy-19 finds nothing in $(wc -l < "$work/headers.cpp") headers"
