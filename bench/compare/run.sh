#!/usr/bin/env bash
# Measures Lathe beside the torch calls of the published tools, on the same checkpoints in the same run, and prints tables.
#
#     bench/compare/run.sh [WORK_FOLDER] [> bench/results/NAME.md]
#
# Builds lathe_peer with the presets release and portable. Needs a Python with numpy and torch: PYTHON, or Debian's python3
# with python3-torch. Writes 7.5 GB of checkpoints to the folder, once, and a merged one. CPU seconds of one thread
# unless said; the least of the repeats. Leave the machine alone meanwhile.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=${1:-${TMPDIR:-/tmp}/lathe-compare}
python=${PYTHON:-/usr/bin/python3}
export OMP_NUM_THREADS=1
say() { printf '==> %s\n' "$*" >&2; }

for preset in release portable; do
    say "building lathe_peer: $preset"
    [ -f "build/$preset/build.ninja" ] || cmake --preset "$preset" >&2
    cmake --build --preset "$preset" --target lathe_peer >&2
done
# The same number of bytes in each type.
for dtype in F32 BF16 F16; do
    say "checkpoints: $dtype"
    "$python" bench/compare/make_checkpoints.py "$work/$dtype" --dtype $dtype --scale $([ $dtype = F32 ] && echo 1 || echo 2) >&2
done
for k in {4..15}; do # sixteen models, of which four are on the disk
    ln -sf "m$((k % 4)).safetensors" "$work/F32/m$k.safetensors"
done

results=$work/results.jsonl
: > "$results"
# ours PRESET DTYPE OPERATION FLAGS...
ours() {
    say "lathe, $1: ${*:2}"
    "build/$1/bench/lathe_peer" "$3" "$work/$2" "${@:4}" \
        | sed 's#^{#{"who": "lathe", "build": "'"$1"'", "dtype": "'"$2"'", "flags": "'"${*:4}"'", #' >> "$results"
}
theirs() {
    say "torch: $1"
    "$python" bench/compare/torch_peer.py "$1" "$work/F32" | sed 's/^{/{"who": "torch", /' >> "$results"
}
for operation in linear task_arithmetic frank_wolfe frank_wolfe_tensor kinship ties_tensor ties_model; do
    for dtype in F32 BF16 F16; do
        ours release $dtype $operation
    done
    ours portable F32 $operation
done
for operation in linear task_arithmetic frank_wolfe kinship ties; do
    theirs $operation
done
merged=$work/merged.safetensors
for operation in linear task_arithmetic ties_tensor ties_model frank_wolfe; do
    ours release F32 $operation --files "$merged" --repeat 3
    ours release F32 $operation --files "$merged" --repeat 3 --threads 2
    ours release F32 $operation --files "$merged" --repeat 1 --models 16
done
rm -f "$merged"
"$python" bench/compare/table.py "$results"
