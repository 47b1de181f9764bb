#!/usr/bin/env bash
# Measures CoheMark's detection in 10,000 documents beside the authors' loop over the same embeddings (no encoder on either
# side), which must find the same hits.
#
#     bench/watermark/run.sh [> bench/results/watermark-NAME.md]
#
# Builds sentence_times with the preset release, and needs a Python with numpy (PYTHON). Leave the machine alone.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
times=${SENTENCE_TIMES:-build/release/bench/sentence_times}
if [ -z "${SENTENCE_TIMES:-}" ]; then
    [ -f build/release/build.ninja ] || cmake --preset release >&2
    cmake --build --preset release --target sentence_times >&2
fi
"$times" "$work" >"$work/results.jsonl"
OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 "$python" bench/watermark/cohemark_peer.py "$work" >>"$work/results.jsonl"
"$python" - "$work/results.jsonl" <<'END'
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
ours = rows[0]
print(f"{ours['documents']:,} documents of {ours['sentences']:,} sentences, 768 dimensions, 8 clusters.\n")
print("| who | threads | CPU s | wall s | us a sentence | times Lathe's |\n|---|---|---|---|---|---|")
for r in rows:
    assert (r["hits"], r["watermarked"]) == (ours["hits"], ours["watermarked"]), "the scores differ"
    print(f"| {r['who']} | {r['threads']} | {r['cpu_s']:.3f} | {r['wall_s']:.3f} | {1e6 * r['cpu_s'] / r['sentences']:.2f} | "
          f"{r['cpu_s'] / ours['cpu_s']:.1f} |")
print(f"\nThe same {ours['hits']:.0f} hits and {ours['watermarked']} documents with a share of at least 0.9.")
END
