#!/usr/bin/env bash
# Installs what is missing, builds everything and runs every test. For a bare Debian 12; needs no root where everything is
# installed. Fails if anything fails, and ends with a count of the tests.
#   CXX              the compiler that builds (g++ unless set)
#   LATHE_COMPILERS  those that have to agree on sources, headers and diagnostics ("g++ clang++-19" unless set); the last
#                    of them compiles the unit tests with sanitizers
#   LATHE_FUZZ_SECONDS  how long each fuzz target runs (60 unless set)
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/support/install_packages.sh
started=$SECONDS

install_packages "${build_packages[@]}" "${backend_packages[@]}" catch2 libbenchmark-dev libboost-graph-dev libicu-dev \
    ccache clang-19 libclang-rt-19-dev clang-format-19 clang-tidy-19 cppcheck libc++-19-dev doxygen pkg-config dpkg-dev \
    python3 python3-venv python3-torch git
export CXX=${CXX:-g++}
export LATHE_COMPILERS=${LATHE_COMPILERS:-g++ clang++-19}
jobs=$(nproc)
if command -v ccache >/dev/null; then
    export CMAKE_CXX_COMPILER_LAUNCHER=ccache CCACHE_BASEDIR=$PWD
fi

# Debian keeps its own Python free of pip's packages (PEP 668), hence an environment.
if ! cmp -s tests/support/requirements.txt build/python/requirements.txt; then
    say "making build/python"
    python3 -m venv build/python
    build/python/bin/pip install --quiet --disable-pip-version-check -r tests/support/requirements.txt
    cp tests/support/requirements.txt build/python/
fi

passed=0 failed=0
# run_tests PRESET ARGUMENTS...: ctest, and its counts added to ours
run_tests() {
    local preset=$1 log=build/$1/ctest.log counts
    shift
    ctest --preset "$preset" -j "$jobs" "$@" 2>&1 | tee "$log" || true
    counts=$(sed -nE 's/^[0-9]+% tests passed, ([0-9]+) tests? failed out of ([0-9]+)$/\1 \2/p' "$log")
    if [ -z "$counts" ]; then
        say "ctest did not run to its end"
        exit 1
    fi
    failed=$((failed + ${counts% *}))
    passed=$((passed + ${counts#* } - ${counts% *}))
}

# Optional parts are not optional here: a package that is not found is an error.
complete=(-DLATHE_IO=ON -DLATHE_REFLECT=ON -DLATHE_DOT=ON -DLATHE_SENTENCES=ON -DLATHE_EIGEN=ON -DLATHE_BUILD_TESTS=ON
    -DCMAKE_REQUIRE_FIND_PACKAGE_{Catch2,benchmark,CLI11,yaml-cpp}=ON)

# Unit tests of the host are built once, with sanitizers; those of OpenCL follow at the end.
sanitizing=${LATHE_COMPILERS##* }
say "building the unit tests with $sanitizing, AddressSanitizer and UndefinedBehaviorSanitizer"
cmake --preset asan "${complete[@]}" "-DCMAKE_CXX_COMPILER=$sanitizing" -DLATHE_XTENSOR=ON -DLATHE_OPENCL=OFF \
    -DLATHE_BUILD_EXAMPLES=OFF -DLATHE_BUILD_BENCH=OFF
cmake --build --preset asan --target lathe_unit_tests
say "testing: asan"
run_tests asan
say "building and testing what runs on several threads: tsan"
cmake --preset tsan "${complete[@]}"
cmake --build --preset tsan
run_tests tsan

# Readers of foreign bytes, each for LATHE_FUZZ_SECONDS (60 unless set) under libFuzzer, which is clang's.
say "building the fuzz targets"
cmake --preset fuzz "${complete[@]}"
cmake --build --preset fuzz
say "testing: fuzz"
run_tests fuzz

# Everything else with $CXX, and the tests of linalg that are too long for sanitizers: with Eigen alone, then with all
# backends, in one folder, so that little is built twice.
build_and_test() { # build_and_test ON|OFF CTEST_ARGUMENTS...
    say "building: release, xtensor and OpenCL $1"
    cmake --preset release "${complete[@]}" "-DLATHE_UNIT_TESTS=linalg;opencl;xtensor" "-DLATHE_XTENSOR=$1" "-DLATHE_OPENCL=$1"
    cmake --build --preset release
    say "testing: release, xtensor and OpenCL $1"
    run_tests release "${@:2}"
}
build_and_test OFF -LE 'hygiene|interop'
build_and_test ON

# At the end, where the driver has compiled most kernels and keeps them: five minutes rather than twelve.
say "building and testing the OpenCL backend with sanitizers: asan-opencl"
cmake --preset asan-opencl "${complete[@]}" "-DCMAKE_CXX_COMPILER=$sanitizing"
cmake --build --preset asan-opencl
run_tests asan-opencl

say "took $(((SECONDS - started) / 60)) min $(((SECONDS - started) % 60)) s"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
