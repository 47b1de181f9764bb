#!/usr/bin/env bash
# Installs what is missing, builds the quickstart and the program `lathe`, and runs two experiments: small models are trained
# on handwritten digits and merged with every method, which gives a table and a chart; and texts made of sentences of a
# book are marked and found again, before and after attacks (watermark.sh). Arguments go to the quickstart (--help lists
# them). For a bare Debian 12; needs no root where everything is installed.
set -euo pipefail
here=$PWD
cd "$(dirname "$0")/.."
source tests/support/install_packages.sh

install_packages "${build_packages[@]}" libicu-dev debian-handbook
say "building"
cmake --preset release
cmake --build --preset release --target quickstart lathe_cli handbook
programs=$PWD/build/release/examples
case " $* " in
*" --out"*) ;;
*) set -- --out "$PWD/build/quickstart" "$@" ;;
esac
say "running $programs/quickstart $*"
cd "$here"
"$programs/quickstart" "$@"
if [[ " $* " != *" --help "* ]]; then
    say "watermarks: marking and finding texts of debian-handbook"
    "$programs/../../../examples/watermark.sh" "$programs" "$programs/../../quickstart/watermark"
fi
say "the command line is $programs/lathe"
