# Sourced by the checks in tests/*/check.sh: where things are, which compilers to ask, how to run jobs side by side.
# A check runs by itself (tests/headers/check.sh) or under ctest, which says where to work and where the build is.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
check=$(basename "$(dirname "$(realpath "$0")")")
work=${LATHE_WORK:-$root/build/hygiene}/$check
build=${LATHE_BUILD:-$root/build/release}
mkdir -p "$work"

# Other people's headers come by -isystem, as from CMake; ours come by -I, so that nothing of them is hushed up.
# A backend that was left out of the build cannot be looked at: its library is missing.
header_folders=(include)
for backend in ${LATHE_BACKENDS:-$(ls backends)}; do
    header_folders+=("backends/$backend/include")
done
includes=("${header_folders[@]/#/-I}")
includes+=(-isystem "${LATHE_EIGEN_INCLUDE:-/usr/include/eigen3}")
warnings=(-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)

# LATHE_COMPILERS names the compilers that must agree. Without it, those of the usual two that are there.
compilers() {
    if [ -n "${LATHE_COMPILERS:-}" ]; then
        printf '%s\n' $LATHE_COMPILERS
        return
    fi
    local compiler
    for compiler in g++ clang++-19; do
        if command -v "$compiler" >/dev/null; then
            echo "$compiler"
        else
            echo "$check: $compiler is not installed and was not asked" >&2
        fi
    done
}

# The headers a user may include, as in `#include <...>`.
public_headers() {
    local base
    for base in "${header_folders[@]}"; do
        (cd "$base" && find lathe -name '*.hpp')
    done | sort
}

# jobs_of: reads lines of words, runs this check once a line with them as arguments, as many at a time as there are
# processors; fails if one fails.
jobs_of() {
    xargs -P "${LATHE_JOBS:-$(nproc)}" -L 1 -r "$(realpath "$0")"
}
