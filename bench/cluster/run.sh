#!/usr/bin/env bash
# Measures an iteration of fuzzy c-means beside the machine's bound and scikit-fuzzy, each on one core.
#
#     bench/cluster/run.sh [> bench/results/cluster-NAME.md]
#
# Builds cluster_times with the preset release, and needs a Python with scikit-fuzzy (PYTHON). Leave the machine alone.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
times=${CLUSTER_TIMES:-build/release/bench/cluster_times}
if [ -z "${CLUSTER_TIMES:-}" ]; then
    [ -f build/release/build.ninja ] || cmake --preset release >&2
    cmake --build --preset release --target cluster_times >&2
fi
"$times" "$work/points.npy" >"$work/results.jsonl"
OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 "$python" bench/cluster/skfuzzy_peer.py "$work/points.npy" >>"$work/results.jsonl"
"$python" - "$work/results.jsonl" <<'END'
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
machine = rows[0]
peer = {r["clusters"]: r["cpu_ms"] for r in rows if r["what"] == "scikit-fuzzy"}
print(f"100,000 points of 768 dimensions in float (scikit-fuzzy: double). One core reads {machine['gb_s']} GB/s and does "
      f"{machine['gflop_s']} GFLOP/s of multiply-adds in the same run.\n")
print("| clusters | fuzzifier | stopping | threads | CPU ms | wall ms | CPU / bound | scikit-fuzzy / CPU |\n|---|---|---|---|---|---|---|---|")
for r in rows:
    if r["what"] == "lathe":
        print(f"| {r['clusters']} | {r['m']} | {r['stop']} | {r['threads']} | {r['cpu_ms']:.0f} | {r['wall_ms']:.0f} | "
              f"{r['cpu_ms'] / r['bound_ms']:.2f} | {peer[r['clusters']] / r['cpu_ms']:.1f} |")
END
