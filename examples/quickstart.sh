#!/usr/bin/env bash
# Installs what is missing, builds the quickstart and the program `lathe`, and runs the quickstart: trains small models on
# handwritten digits, merges them with every method, prints the table and draws the chart. Arguments go to the quickstart
# (--help lists them). For a bare Debian 12; needs no root where everything is installed.
set -euo pipefail
here=$PWD
cd "$(dirname "$0")/.."
source tests/support/install_packages.sh

install_packages "${build_packages[@]}"
say "building"
cmake --preset release
cmake --build --preset release --target quickstart lathe_cli
programs=$PWD/build/release/examples
case " $* " in
*" --out"*) ;;
*) set -- --out "$PWD/build/quickstart" "$@" ;;
esac
say "running $programs/quickstart $*"
cd "$here"
"$programs/quickstart" "$@"
say "the command line is $programs/lathe"
