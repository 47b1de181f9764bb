#!/usr/bin/env bash
# Measures Lathe beside the torch calls of the published tools, on the same checkpoints in the same run, and prints a table.
#
#     bench/compare/run.sh [WORK_FOLDER] [> bench/results/NAME.md]
#
# Needs the release build (target lathe_peer), and a Python with numpy and torch: PYTHON, or Debian's python3 with
# python3-torch. Writes 2.5 GB of checkpoints to the folder, once. CPU seconds of one thread throughout; the least of the repeats.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=${1:-${TMPDIR:-/tmp}/lathe-compare}
python=${PYTHON:-/usr/bin/python3}
peer=build/release/bench/lathe_peer
export OMP_NUM_THREADS=1
"$python" bench/compare/make_checkpoints.py "$work" >&2
results=$work/results.jsonl
: > "$results"
say() { printf '==> %s\n' "$*" >&2; }
ours() { say "lathe: $*"; "$peer" "$@" | sed 's/^{/{"who": "lathe", "flags": "'"${*:3}"'", /' >> "$results"; }
theirs() { say "torch: $*"; "$python" bench/compare/torch_peer.py "$@" | sed 's/^{/{"who": "torch", /' >> "$results"; }
for operation in linear task_arithmetic frank_wolfe kinship ties_tensor ties_model; do
    ours "$operation" "$work"
done
for operation in linear task_arithmetic frank_wolfe kinship ties; do
    theirs "$operation" "$work"
done
for operation in linear task_arithmetic ties_tensor; do
    ours "$operation" "$work" --files "$work/merged.safetensors"
    ours "$operation" "$work" --files "$work/merged.safetensors" --threads 2
done
"$python" bench/compare/table.py "$results"
