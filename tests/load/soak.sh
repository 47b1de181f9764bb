#!/usr/bin/env bash
# Compiles soak.cpp and runs it: soak.sh [MINUTES (30)]. Needs Eigen, CLBlast, and OpenCL with a device.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d -p "${LATHE_SCRATCH:-${TMPDIR:-/tmp}}")
trap 'rm -rf "$work"' EXIT
${CXX:-g++} -std=c++20 -O1 -Iinclude -Ibackends/eigen/include -Ibackends/opencl/include -isystem "${LATHE_EIGEN_INCLUDE:-/usr/include/eigen3}" \
    -DCL_TARGET_OPENCL_VERSION=120 tests/load/soak.cpp -o "$work/soak" -lclblast -lOpenCL -ldl -pthread
mkdir "$work/files"
echo "soak.sh, $(date -u +%F), $(nproc) processors, $(awk -F': ' '/model name/ {print $2; exit}' /proc/cpuinfo)"
"$work/soak" "${1:-30}" "$work/files" eigen opencl opencl-new
[[ -z $(find "$work/files" -name '.lathe-*') ]] || { echo "FAILED: left behind: $(ls -A "$work/files")" && exit 1; }
