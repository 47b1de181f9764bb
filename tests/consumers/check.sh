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
plain=(-std=c++20 -Iinclude -Ibackends/eigen/include "${includes[@]: -2}" -pthread)
quietly "compile with -I" "$compiler" "${plain[@]}" tests/consumers/main.cpp -o "$work/plain"
quietly "run" "$work/plain"

echo "==> forward declarations"
# All that fwd.hpp declares is defined where lathe.hpp and io/ lead, as what it was declared.
{
    echo '#include <lathe/fwd.hpp>'
    (cd include && printf '#include <%s>\n' lathe/lathe.hpp $(grep -L boost -r lathe/io | grep -v sentences | sort))
    awk '/^namespace [a-z]+ \{/ { inside = $2 "::" } /^}/ { inside = "" }
        /^(struct|class|enum class) [a-z_0-9]+/ { sub(/ :.*/, ""); sub(/;/, "")
            print "static_assert(sizeof(lathe::" inside $NF ") != 0);" }' include/lathe/fwd.hpp
} > "$work/forward.cpp"
[ "$(grep -c static_assert "$work/forward.cpp")" -gt 100 ] || { echo "FAIL nothing found in fwd.hpp" && exit 1; }
if command -v clang++-19 >/dev/null && clang++-19 -std=c++20 -stdlib=libc++ -fsyntax-only -include vector -x c++ /dev/null 2>/dev/null; then
    libcxx=(clang++-19 -stdlib=libc++ "${warnings[@]}" "${plain[@]}") # whether a struct was called a class, only clang says
    quietly "what is declared is defined, by clang with libc++" "${libcxx[@]}" -fsyntax-only "$work/forward.cpp"
    echo "==> libc++"
    quietly "compile with libc++" "${libcxx[@]}" tests/consumers/main.cpp -o "$work/with_libcxx"
    quietly "run" "$work/with_libcxx"
    (cd include && printf '#include <%s>\n' lathe/registry.hpp lathe/reflect/*.hpp) > "$work/reflect.cpp"
    quietly "registry and reflect with libc++" "${libcxx[@]}" -fsyntax-only "$work/reflect.cpp"
else
    echo "consumers: clang++-19 with libc++ is not installed and was not asked"
    quietly "what is declared is defined" "$compiler" "${plain[@]}" -fsyntax-only "$work/forward.cpp"
fi

echo "==> without exceptions"
refused "no exceptions" "lathe: errors are exceptions" "$compiler" "${plain[@]}" -fno-exceptions -fsyntax-only tests/consumers/main.cpp
# A program without them has one unit with them, whose functions are noexcept: what they would throw ends the program.
cat > "$work/boundary.cpp" << 'EOF'
#include <lathe/core/checkpoint.hpp>
#include <vector>
bool one_tensor(std::size_t rows) noexcept {
    std::vector<float> const row(4);
    lathe::memory_checkpoint c;
    c.set("weight", {rows, 4}, std::span<float const>{row});
    return c.tensors().size() == 1;
}
EOF
cat > "$work/caller.cpp" << 'EOF'
bool one_tensor(unsigned long rows) noexcept;
int main(int argc, char **) { return one_tensor(static_cast<unsigned long>(argc)) ? 0 : 1; }
EOF
quietly "the unit with exceptions" "$compiler" "${plain[@]}" -c "$work/boundary.cpp" -o "$work/boundary.o"
quietly "a program without" "$compiler" "${plain[@]}" -fno-exceptions "$work/caller.cpp" "$work/boundary.o" -o "$work/without"
quietly "run" "$work/without"
refused "an error ends the program, and says which it was" "16 bytes for shape [2, 4]" \
    sh -c '"$0" second; exit $?' "$work/without"

echo "==> one file"
quietly "write the single headers" cmake --build "$work/lathe" --target lathe_single_header
quietly "install them" cmake --install "$work/lathe" --prefix "$work/single" --component single_header
sed '/#include <lathe\/merge/d; s|<lathe/.*>|<lathe-eigen.hpp>|' tests/consumers/main.cpp > "$work/single.cpp"
quietly "compile one file" "$compiler" -std=c++20 "-I$work/single/include" "${includes[@]: -2}" -c "$work/single.cpp" -o "$work/first.o"
quietly "a second unit with the same functions" objcopy --redefine-sym main=second "$work/first.o" "$work/second.o"
quietly "link two units" "$compiler" "$work/first.o" "$work/second.o" -o "$work/two_units" -pthread
quietly "run" "$work/two_units"
refused "one file beside the headers it is made of" "include one or the other" \
    "$compiler" -std=c++20 -fsyntax-only "-I$work/single/include" "${includes[@]}" -x c++ - \
    <<< $'#include <lathe/config.hpp>\n#include <lathe-eigen.hpp>'

echo "==> recipes"
# Every optional layer is an option of the Conan recipe, which Python accepts, and a feature of the vcpkg port, which
# makes a package that find_package finds. Neither registry can be reached from here.
python3 - "$work/lathe/CMakeCache.txt" << 'EOF'
import ast, json, pathlib, re, sys
layers = {m.lower() for m in re.findall(r"^LATHE_(\w+):STRING=(?:AUTO|ON|OFF)$", pathlib.Path(sys.argv[1]).read_text(), re.M)}
recipe = ast.parse(pathlib.Path(".packaging/conanfile.py").read_text())
options = next(set(ast.literal_eval(n.value)) for n in recipe.body if isinstance(n, ast.Assign) and n.targets[0].id == "LAYERS")
port = json.loads(pathlib.Path(".packaging/vcpkg/lathe/vcpkg.json").read_text())
version = re.findall(r"#define LATHE_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", pathlib.Path("include/lathe/config.hpp").read_text())
for what, found, expected in (("options of the Conan recipe", options, layers), ("features of the vcpkg port", set(port["features"]), layers),
                              ("version of the vcpkg port", port["version"], ".".join(version))):
    if found != expected:
        sys.exit(f"FAIL {what}: found {found}, expected {expected}")
EOF
quietly "the vcpkg port" cmake "-DPORT=$root/.packaging/vcpkg/lathe/portfile.cmake" "-DWORK=$work/vcpkg" "-DCOMPILER=$compiler" \
    "-DFEATURES=eigen;io" -P tests/consumers/vcpkg.cmake
quietly "find_package in the vcpkg package" configure -S tests/consumers/installed -B "$work/from_vcpkg" \
    "-DCMAKE_PREFIX_PATH=$work/vcpkg/package" "-DWANTED=default_backend;io"
if command -v conan >/dev/null; then
    export CONAN_HOME=$work/conan
    quietly "a profile" conan profile detect
    quietly "conan create" conan create .packaging -s compiler.cppstd=20 -o '&:eigen=False' -o '&:io=False' \
        -c "tools.cmake.cmake_layout:test_folder=$work/conan_test"
else
    echo "consumers: conan is not installed and was not asked"
fi

echo "==> options"
refused "a default backend that is not there" "LATHE_DEFAULT_BACKEND: found 'abacus'" \
    configure -S . -B "$work/abacus" -DLATHE_DEFAULT_BACKEND=abacus -DLATHE_BUILD_TESTS=OFF -DLATHE_BUILD_EXAMPLES=OFF \
    -DLATHE_BUILD_BENCH=OFF

if [ -f "$build/liblathe_compiled_eigen.a" ]; then
    echo "==> compiled methods"
    refused "compiled methods that were not installed" "without 'compiled'" configure -S tests/consumers/installed \
        -B "$work/not_compiled" "-DCMAKE_PREFIX_PATH=$work/moved" -DWANTED=compiled
    for component in development compiled_eigen; do
        quietly "install $component" cmake --install "$build" --prefix "$work/with_compiled" --component $component
    done
    quietly "find_package" configure -S tests/consumers/installed -B "$work/compiled" \
        "-DCMAKE_PREFIX_PATH=$work/with_compiled" -DWANTED=compiled
    quietly "build" cmake --build "$work/compiled" --target compiled
    quietly "run" "$work/compiled/compiled"
    nm -C "$(find "$work/compiled" -name compiled.cpp.o)" > "$work/symbols"
    grep -q 'U .*compiled::merging<.*>::run' "$work/symbols" && ! grep -qE 'W .*merge::ties<' "$work/symbols" ||
        { echo "FAIL what is compiled is instantiated again" && exit 1; }
fi

if [ -x "$build/examples/lathe" ]; then
    echo "==> the program"
    quietly "install the program" cmake --install "$build" --prefix "$work/full"
    quietly "run the installed program" "$work/full/bin/lathe" --help
    if command -v dpkg-shlibdeps >/dev/null; then
        quietly "cpack with the program" cpack -G DEB --config "$build/CPackConfig.cmake" -B "$work/program_package"
        deb=$(ls "$work"/program_package/lathe_*.deb)
        [[ "$(dpkg-deb --contents "$deb") " == *' ./usr/bin/lathe'[[:space:]]* && $(dpkg-deb --field "$deb" Depends) == *libc6* ]] ||
            { dpkg-deb --info "$deb" && echo "FAIL the Debian package of the program" && exit 1; }
    fi
fi
echo "consumers: all ways work"
