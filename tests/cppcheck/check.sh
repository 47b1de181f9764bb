#!/usr/bin/env bash
# cppcheck finds nothing in headers and sources but what suppressions.txt says.
#   check.sh [FILES]
source "$(dirname "$0")/../support/tree.sh"
if ! command -v cppcheck >/dev/null; then
    echo "cppcheck: it is not installed and was not asked"
    exit 0
fi
[ $# != 0 ] || set -- $(find include backends examples bench tests \( -name '*.hpp' -o -name '*.cpp' \) | sort)

# Each file by itself: where a header is not understood, neither would be what includes it. Macros of ours are given, so
# that there is one configuration, that of the tests.
said=$(cppcheck --enable=warning,performance,portability --std=c++20 --language=c++ --quiet --inline-suppr -j "$(nproc)" \
    -D__cpp_exceptions=199711 -D__cplusplus=202002 -D__x86_64__ -D__SSE2__ -DLATHE_VECTOR_BYTES=32 \
    -DLATHE_NAMESPACE_BEGIN= -DLATHE_NAMESPACE_END= '-DBOOST_HANA_ADAPT_STRUCT(...)=' \
    --suppressions-list=tests/cppcheck/suppressions.txt \
    --template='{file}:{line}: {severity}: {message} [{id}]' "$@" 2>&1)
# Version 2.10 does not understand every lambda with template parameters, and leaves the rest of such a file.
left=$(grep -cE '\[(syntaxError|internalAstError|cppcheckError)\]$' <<< "$said" || true)
found=$(grep -vE '\[(syntaxError|internalAstError|cppcheckError)\]$' <<< "$said" || true)
[ -z "$found" ] || { printf 'FAIL %s\n' "$found" && exit 1; }
[ "$left" -lt $(($# / 10 + 1)) ] || { printf 'FAIL cppcheck understands too little:\n%s\n' "$said" && exit 1; }
echo "cppcheck finds nothing in $(($# - left)) files; $left it does not understand"
