#!/usr/bin/env bash
# The OpenCL backend under valgrind: no invalid access, nothing read that was not written, nothing lost but by the driver
# (valgrind_opencl.supp). Needs valgrind, OpenCL with a device that it can run (PoCL), CLBlast.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d -p "${LATHE_SCRATCH:-${TMPDIR:-/tmp}}")
trap 'rm -rf "$work"' EXIT
${CXX:-g++} -std=c++20 -O0 -g1 -Iinclude -Ibackends/opencl/include -DCL_TARGET_OPENCL_VERSION=120 tests/load/valgrind_opencl.cpp \
    -o "$work/program" -lclblast -lOpenCL -pthread
echo "valgrind_opencl.sh, $(date -u +%F), $(valgrind --version)"
status=0
valgrind --leak-check=full --num-callers=40 --error-exitcode=9 --suppressions=tests/load/valgrind_opencl.supp "$work/program" \
    >"$work/said" 2>&1 || status=$?
grep -E 'right|wrong|definitely lost:|possibly lost:|ERROR SUMMARY' "$work/said"
[[ $status == 0 ]] || { grep -B 2 -A 20 -E 'Invalid|uninitialised|are (definitely|possibly) lost' "$work/said" | head -n 100; exit 1; }
