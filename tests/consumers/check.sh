#!/usr/bin/env bash
# The ways to use the library from outside: installed, with find_package and with pkg-config; packed; as a subdirectory
# and fetched; by -I alone; as one file.
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

echo "==> pkg-config"
mv "$work/prefix" "$work/moved" # what is installed may be moved
export PKG_CONFIG_PATH=$work/moved/share/pkgconfig
modules=$(cd "$PKG_CONFIG_PATH" && ls *.pc | sed 's/\.pc$//' | sort)
[ "$modules" = "$({ echo lathe && ls "$work/moved/share/cmake/lathe" | sed -n 's/^\(lathe-.*\)\.cmake$/\1/p' |
    grep -vxE 'lathe-(core|lathe|config|config-version)'; } | sort)" ] ||
    { echo "FAIL the modules of pkg-config are not the components:" $modules && exit 1; }
quietly "pkg-config finds what the modules require" pkg-config --exists --print-errors $modules
quietly "compile with pkg-config" "$compiler" -std=c++20 tests/consumers/main.cpp -o "$work/by_pkg_config" \
    $(pkg-config --cflags --libs lathe-eigen)
quietly "run" "$work/by_pkg_config"

echo "==> cpack"
quietly "cpack" cpack --config "$work/lathe/CPackConfig.cmake" -B "$work/packages"
archive=$(ls "$work"/packages/lathe-*.tar.gz)
mkdir "$work/unpacked"
tar -xzf "$archive" -C "$work/unpacked" --strip-components=1
diff -r "$work/moved" "$work/unpacked" || { echo "FAIL the archive is not what cmake --install installs" && exit 1; }
quietly "find_package in the unpacked archive" configure -S tests/consumers/installed -B "$work/from_archive" \
    "-DCMAKE_PREFIX_PATH=$work/unpacked" "-DWANTED=default_backend"
quietly "build against the unpacked archive" cmake --build "$work/from_archive" --target default_backend
quietly "run" "$work/from_archive/default_backend"
if command -v dpkg-deb >/dev/null; then
    deb=$(ls "$work"/packages/lathe-dev_*_all.deb)
    field() { dpkg-deb --field "$deb" "$1"; }
    [ "$(field Package) $(field Architecture) $(field Section)" = "lathe-dev all libdevel" ] && [ -z "$(field Depends)" ] &&
        [[ $(field Suggests) == *libeigen3-dev* ]] || { dpkg-deb --info "$deb" && echo "FAIL the Debian package" && exit 1; }
    [ "$(dpkg-deb --contents "$deb" | sed -n 's|.* \./usr/\(.*[^/]\)$|\1|p' | sort)" = \
        "$(cd "$work/moved" && find . -type f | sed 's|^\./||' | sort)" ] ||
        { echo "FAIL the Debian package does not hold what cmake --install installs" && exit 1; }
fi

echo "==> add_subdirectory"
quietly "configure as a subdirectory" configure -S tests/consumers/subdirectory -B "$work/subdirectory" "-DLATHE_SOURCE=$root"
quietly "build as a subdirectory" cmake --build "$work/subdirectory"
quietly "run" "$work/subdirectory/consumer"
quietly "run, default backend" "$work/subdirectory/default_backend"

echo "==> FetchContent"
quietly "configure with FetchContent" configure -S tests/consumers/fetched -B "$work/fetched" "-DLATHE_SOURCE=$root"
quietly "build with FetchContent" cmake --build "$work/fetched"
quietly "run" "$work/fetched/consumer"

echo "==> -I"
quietly "compile with -I" "$compiler" -std=c++20 -Iinclude -Ibackends/eigen/include "${includes[@]: -2}" \
    tests/consumers/main.cpp -o "$work/plain" -pthread
quietly "run" "$work/plain"

echo "==> one file"
quietly "write the single headers" cmake --build "$work/lathe" --target lathe_single_header
quietly "install them" cmake --install "$work/lathe" --prefix "$work/single" --component single_header
sed '/#include <lathe\/merge/d; s|<lathe/.*>|<lathe-eigen.hpp>|' tests/consumers/main.cpp > "$work/single.cpp"
by_itself=("$compiler" -std=c++20 "-I$work/single/include" "${includes[@]: -2}" -c "$work/single.cpp")
"${by_itself[@]}" -Dmain=second -o "$work/second.o" > "$work/second.log" 2>&1 & # the same inline functions once more
second=$!
quietly "compile one file" "${by_itself[@]}" -o "$work/first.o"
wait $second || { cat "$work/second.log" && echo "FAIL compile one file in a second unit" && exit 1; }
quietly "link two units" "$compiler" "$work/first.o" "$work/second.o" -o "$work/two_units" -pthread
quietly "run" "$work/two_units"
refused "one file beside the headers it is made of" "include one or the other" \
    "$compiler" -std=c++20 -fsyntax-only "-I$work/single/include" "${includes[@]}" -x c++ - \
    <<< $'#include <lathe/config.hpp>\n#include <lathe-eigen.hpp>'

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
