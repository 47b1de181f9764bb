#!/usr/bin/env bash
# The reference of the declarations as HTML, by Doxygen without a warning, and links between pages that lead somewhere.
# HTML lies in $LATHE_WORK/documentation/html (the target lathe_docs: build/PRESET/documentation/html).
set -euo pipefail
cd "$(dirname "$0")/../.."
work=${LATHE_WORK:-$PWD/build/hygiene}/documentation
rm -rf "$work"
mkdir -p "$work"
python3 tests/documentation/links.py
if ! command -v doxygen >/dev/null; then
    echo "documentation: doxygen is not installed and was not asked"
    exit 0
fi
{ cat docs/Doxyfile && printf 'OUTPUT_DIRECTORY = "%s"\n' "$work"; } > "$work/Doxyfile"
doxygen "$work/Doxyfile"
echo "documentation: $(find "$work/html" -name '*.html' | wc -l) pages in $work/html"
