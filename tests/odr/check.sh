#!/usr/bin/env bash
# Two translation units that include every public header and disagree on NDEBUG link into one correct program, without a
# word from -flto -Wodr; and no header defines a symbol that two units would fight over.
source "$(dirname "$0")/../support/tree.sh"

for header in $(public_headers); do
    echo "#include <$header>"
done > "$work/everything.hpp"

asked=$(compilers)
for compiler in $asked; do
    object() { $compiler -std=c++20 -I"$work" "${includes[@]}" "$@" -c tests/odr/unit.cpp; }
    lto=
    case $compiler in *clang*) ;; *) lto="-flto -Wodr" ;; esac
    here=$work/$compiler
    mkdir -p "$here"
    object $lto -DENTRY=checked -o "$here/checked.o" &
    first=$!
    object $lto -DENTRY=unchecked -DNDEBUG -o "$here/unchecked.o" &
    wait $first
    wait $!
    object -DENTRY=checked -o "$here/plain.o" & # lto objects hold no symbols nm could read
    said=$($compiler -std=c++20 $lto tests/odr/main.cpp "$here/checked.o" "$here/unchecked.o" -o "$here/program" -pthread 2>&1) ||
        { echo "FAIL $compiler: the two units do not link: $said" && exit 1; }
    [ -z "$said" ] || { echo "FAIL $compiler: the linker complains: $said" && exit 1; }
    "$here/program" || { echo "FAIL $compiler: the linked program is wrong" && exit 1; }
    wait $!
    strong=$(nm -C --defined-only "$here/plain.o" | grep -E ' [TDBRC] ' | grep -v ' T checked()' || true)
    [ -z "$strong" ] || { echo "FAIL $compiler: defined in a header, and not inline: $strong" && exit 1; }
done
echo "$(wc -l < "$work/everything.hpp") headers in two units link cleanly with:" $asked
