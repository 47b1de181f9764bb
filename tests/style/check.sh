#!/usr/bin/env bash
# The tree keeps to its layout, and our sources to .clang-format.
#   check.sh          says what does not
#   check.sh --fix    formats the sources first
source "$(dirname "$0")/../support/tree.sh"
failed=0
complain() { # complain WHAT LINES
    [ -z "$2" ] || { printf 'FAIL %s:\n%s\n' "$1" "$2" && failed=1; }
}

if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    files() { git ls-files --cached --others --exclude-standard -- "$@" | while read -r f; do [ -f "$f" ] && echo "$f"; done; }
else
    files() { find . -path ./build -prune -o -type f -print | sed 's|^\./||' | grep -E "$(printf '%s|' "$@" | sed 's/\*/.*/g; s/|$//')" || true; }
fi
entries=$(files | cut -d/ -f1 | sort -u)
complain "top-level entries outside the agreed layout" \
    "$(grep -vxE '\..*|CMakeLists\.txt|CMakePresets\.json|LICENSE|README\.md|include|backends|tests|examples|bench|docs' <<< "$entries")"

sources=$(files '*.hpp' '*.cpp')
complain "tabs, or blanks at the end of a line" "$(grep -nP '\t| +$' $sources || true)"
complain "no #pragma once" "$(grep -L '^#pragma once$' $(grep -E '^(include|backends)/.*\.hpp$' <<< "$sources") || true)"
# The version of OpenCL is asked for by a macro of its headers.
complain "macros outside config.hpp" \
    "$(grep -nE '^ *# *define ' $(grep -E '^(include|backends)/.*\.hpp$' <<< "$sources" | grep -v 'lathe/config.hpp$') |
        grep -v 'define CL_TARGET_OPENCL_VERSION' || true)"

# 14, Debian's default, does not parse concepts.
if command -v clang-format-19 >/dev/null; then
    if [ "${1:-}" = --fix ]; then
        xargs clang-format-19 -i <<< "$sources"
    fi
    complain "not formatted as .clang-format says ($0 --fix)" \
        "$(xargs clang-format-19 --dry-run 2>&1 <<< "$sources" | sed -n 's/^\([^ :]*\):.*code should be clang-formatted.*/\1/p' | sort | uniq -c)"
else
    echo "style: clang-format-19 is not installed and was not asked"
fi
echo "style: $(wc -l <<< "$sources") sources"
exit $failed
