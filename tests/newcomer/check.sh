#!/usr/bin/env bash
# The first steps that README.md promises, in a clean environment: the blocks marked <!-- newcomer: NAME --> near its top, as
# they stand, in a copy of the tracked files under a path with a space, by a user with an empty home and nothing in the
# environment but a PATH of the system's folders; without network where that can be taken away. Each has five minutes.
source "$(dirname "$0")/../support/tree.sh"
source tests/support/install_packages.sh
python=${LATHE_PYTHON:-$root/build/python/bin/python}
clone="$work/a clone"
home="$work/a home"
limit=300

fail() { echo "FAIL newcomer: $*" && exit 1; }
rm -rf "$work" && mkdir -p "$clone" "$home"
if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    git ls-files -z | xargs -0 cp --parents --no-dereference -t "$clone"
else
    echo "newcomer: this is no clone, or not ours: all files are taken for tracked ones"
    find . \( -path ./build -o -path ./.git \) -prune -o -type f -print0 | xargs -0 cp --parents --no-dereference -t "$clone"
fi

alone=()
if unshare --net --map-root-user true 2>/dev/null; then
    alone=(unshare --net --map-root-user)
else
    echo "newcomer: the network cannot be taken away here, and was not"
fi

# What is to be installed first is what our own scripts install.
for package in $(sed -n 's/^On Debian 12, from a clone, with `\([^`]*\)` installed.*/\1/p' "$clone/README.md"); do
    [[ " ${build_packages[*]} " == *" $package "* ]] || fail "README.md wants $package, which tests/support/install_packages.sh does not"
    packages=yes
done
[ -n "${packages:-}" ] || fail "README.md does not say what has to be installed"

walk() { # walk NAME: runs the block; leaves what it prints in $out
    local started=$SECONDS commands line
    line=$(grep -nFx -- "<!-- newcomer: $1 -->" "$clone/README.md" | cut -d: -f1)
    [ -n "$line" ] && [ "$line" -lt 60 ] || fail "no path '$1' near the top of README.md"
    commands=$(tail -n "+$((line + 1))" "$clone/README.md" | awk '/^```$/ { exit } on { print } /^```sh$/ { on = 1 }')
    [ -n "$commands" ] || fail "no commands after the mark of '$1'"
    out=$(cd "$clone" && timeout "$limit" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME="$home" \
        "${alone[@]}" bash -euo pipefail -c "$commands" 2>&1 </dev/null) || fail "'$1' ends with status $? after $((SECONDS - started)) s: $out"
    echo "newcomer: $1: $((SECONDS - started)) s of $limit"
}

walk "a merged checkpoint"
[[ $out == *"merged.safetensors: 15 tensors"* ]] || fail "the merge says: $out"
if [ -x "$python" ]; then
    # Read by the Python library, and computed once more: the paper's trim, the election of signs, the mean of what agrees.
    (cd "$clone" && "$python" -) <<'END' || fail "merged.safetensors is not the merge of these models"
import numpy as np
from safetensors.numpy import load_file
base, m0, m1, merged = (load_file(f) for f in [f"tests/data/merge/data_f32/{n}.safetensors" for n in ("base", "m0", "m1")] + ["merged.safetensors"])
assert merged.keys() == base.keys(), (sorted(merged), sorted(base))
for name, t in base.items():
    assert (merged[name].shape, merged[name].dtype) == (t.shape, t.dtype), name
    assert t.dtype.kind == "f" or np.array_equal(merged[name], t), name
names = sorted(n for n, t in base.items() if t.dtype.kind == "f" and t.size)
flat = lambda model: np.concatenate([model[n].ravel().astype(np.float64) for n in names])
theta = flat(base)
kept = []
for model in (m0, m1):
    tau = flat(model) - theta
    stays = np.argsort(-np.abs(tau), kind="stable")[:int(0.4 * tau.size)]
    kept.append(np.zeros_like(tau))
    kept[-1][stays] = tau[stays]
kept = np.array(kept)
agrees = (kept != 0) & ((kept > 0) == (kept.sum(0) >= 0))
tau = np.where(agrees, kept, 0).sum(0) / np.maximum(agrees.sum(0), 1)
assert np.abs(tau).max() > 0.01 and np.allclose(flat(merged), theta + tau, rtol=0, atol=1e-6)
END
else
    echo "newcomer: there is no $python; our own reader looked at the merge"
    (cd "$clone" && ./merge again.safetensors tests/data/merge/data_f32/base.safetensors merged.safetensors) >/dev/null || fail "the merge cannot be read"
fi

walk "a project of your own"
[ -x "$home/project/build/mine" ] || fail "there is no ~/project/build/mine"
[[ $out =~ with:\ z\ [0-9.]+,\ p\ [0-9.e-]+,\ marked ]] || fail "the project says: $out"
[ -z "$(cd "$home" && find . -mindepth 1 -maxdepth 1 ! -name lathe ! -name project)" ] || fail "more than README.md says lies in the home: $(ls -A "$home")"
