#!/usr/bin/env bash
# Measures the scoring of workflows beside networkx, and beside WorFBench's evaluator where there is a checkout of it.
#
#     bench/worfeval/run.sh FOLDER [WORFBENCH] [> bench/results/worfeval-NAME.md]
#
# FOLDER: golds.jsonl, samples.jsonl, strings.json, embeddings.safetensors. Builds worfeval_times with the preset release.
# Needs a Python with networkx (PYTHON; with numpy for WORFBENCH). Encoder excluded on both sides. Leave the machine alone.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:?the folder with the pairs}
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ -f build/release/build.ninja ] || cmake --preset release >&2
cmake --build --preset release --target worfeval_times >&2
build/release/bench/worfeval_times "$folder" "$work/pairs.json" >"$work/results.jsonl"
"$python" bench/worfeval/networkx_peer.py "$work/pairs.json" ${2:+"$2"} >>"$work/results.jsonl"
"$python" - "$work/results.jsonl" <<'END'
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
ours = next(r for r in rows if r["who"] == "lathe" and r["what"].startswith("reference") and r["threads"] == 1)
print("| who | what | threads | us a pair | pairs a second | times Lathe's time |\n|---|---|---|---|---|---|")
for r in rows:
    same = r["what"] == ours["what"]
    assert not same or abs(r["mean_f1"] - ours["mean_f1"]) < 1e-12, "the scores differ"
    print(f"| {r['who']} | {r['what']} | {r['threads']} | {r['us_a_pair']:.2f} | {1e6 / r['us_a_pair']:,.0f} | "
          f"{r['us_a_pair'] / ours['us_a_pair']:.2f} |" if same else
          f"| {r['who']} | {r['what']} | {r['threads']} | {r['us_a_pair']:.2f} | {1e6 / r['us_a_pair']:,.0f} | |")
peer = next(r for r in rows if r["who"] == "networkx")
print(f"\n{ours['pairs']} pairs; networkx {peer['networkx']}, Python {peer['python']}. Least time of the repeats.")
END
