#!/usr/bin/env bash
# The three ways to use the library from outside: installed with find_package, as a subdirectory, and by -I alone.
source "$(dirname "$0")/../support/tree.sh"
compiler=${CXX:-g++}
rm -rf "$work" && mkdir -p "$work"

quietly() { # quietly STEP COMMAND...: shows what the command says only if it fails
    local step=$1
    shift
    "$@" > "$work/log" 2>&1 || { cat "$work/log" && echo "FAIL $step" && exit 1; }
}
refused() { # refused STEP TEXT COMMAND...: fails unless the command does, and says TEXT
    local step=$1 text=$2
    shift 2
    if "$@" > "$work/log" 2>&1; then
        echo "FAIL $step: accepted" && exit 1
    fi
    tr -s ' \n' ' ' < "$work/log" | grep -qF -- "$text" || { cat "$work/log" && echo "FAIL $step: another message" && exit 1; }
}
configure() { cmake -G Ninja "-DCMAKE_CXX_COMPILER=$compiler" "$@"; }
installed() { # installed NAME COMPONENTS ARGUMENTS...
    local name=$1
    shift
    local components=$1
    shift
    configure -S tests/consumers/installed -B "$work/$name" "-DCMAKE_PREFIX_PATH=$work/prefix" "-DWANTED=$components" "$@"
}

echo "==> install and find_package"
quietly "configure for install" configure -S . -B "$work/lathe" -DLATHE_BUILD_TESTS=OFF -DLATHE_BUILD_EXAMPLES=OFF \
    -DLATHE_BUILD_BENCH=OFF
quietly "install" cmake --install "$work/lathe" --prefix "$work/prefix"
quietly "find_package" installed both 'eigen;default_backend'
quietly "build against the installed package" cmake --build "$work/both"
quietly "run" "$work/both/consumer"
quietly "run, default backend" "$work/both/default_backend"
quietly "find_package without components" installed core_only ''
grep -qiE 'eigen3_dir|opencl|nlohmann|boost' "$work/core_only/CMakeCache.txt" &&
    { echo "FAIL asking for no component looks for packages" && exit 1; }
refused "an unknown component" "without 'cuda'" installed unknown cuda
refused "a missing package" "lathe::eigen needs Eigen3" installed missing eigen -DCMAKE_DISABLE_FIND_PACKAGE_Eigen3=ON
if [ "$(cd "$work/prefix/include" && find . -name '*.hpp' | sort)" != \
    "$({ public_headers && echo lathe/backend/default.hpp; } | sed 's|^|./|' | sort)" ]; then
    echo "FAIL the installed headers are not the public headers" && exit 1
fi

echo "==> add_subdirectory"
quietly "configure as a subdirectory" configure -S tests/consumers/subdirectory -B "$work/subdirectory" "-DLATHE_SOURCE=$root"
quietly "build as a subdirectory" cmake --build "$work/subdirectory"
quietly "run" "$work/subdirectory/consumer"
quietly "run, default backend" "$work/subdirectory/default_backend"

echo "==> -I"
quietly "compile with -I" "$compiler" -std=c++20 -Iinclude -Ibackends/eigen/include "${includes[@]: -2}" \
    tests/consumers/main.cpp -o "$work/plain" -pthread
quietly "run" "$work/plain"

echo "==> options"
refused "a default backend that is not there" "LATHE_DEFAULT_BACKEND: found 'abacus'" \
    configure -S . -B "$work/abacus" -DLATHE_DEFAULT_BACKEND=abacus -DLATHE_BUILD_TESTS=OFF -DLATHE_BUILD_EXAMPLES=OFF \
    -DLATHE_BUILD_BENCH=OFF

if [ -x "$build/examples/lathe" ]; then
    echo "==> the program"
    quietly "install the program" cmake --install "$build" --prefix "$work/full"
    quietly "run the installed program" "$work/full/bin/lathe" --help
fi
echo "consumers: all ways work"
