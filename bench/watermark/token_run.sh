#!/usr/bin/env bash
# Measures detection of token-level watermarks beside torch, one thread each unless the table says otherwise.
#
#     bench/watermark/token_run.sh [> bench/results/watermark-tokens-NAME.md]
#
# Builds token_times with the preset release, and needs a Python with torch and numpy (PYTHON). Leave the machine alone.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-/usr/bin/python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
times=${TOKEN_TIMES:-build/release/bench/token_times}
if [ -z "${TOKEN_TIMES:-}" ]; then
    [ -f build/release/build.ninja ] || cmake --preset release >&2
    cmake --build --preset release --target token_times >&2
fi
"$times" "$work/texts" >"$work/results.jsonl"
"$python" bench/watermark/token_peer.py "$work/texts" >>"$work/results.jsonl"
"$python" - "$work/results.jsonl" <<'END'
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
torch = next(r for r in rows if r["what"] == "torch")
print(f"Texts of 200 tokens of a vocabulary of 50,272, gamma 1/2; processor time. torch {torch['version']} (a permutation for each token, "
      f"{torch['texts']} texts measured): {torch['us_a_token']:.0f} us a token.\n")
print("| method | texts in the batch | threads | CPU s | wall s | us a token | torch's KGW / this |\n|---|---|---|---|---|---|---|")
for r in rows:
    if r["what"] == "detect":
        print(f"| {r['method']} | {r['texts']} | {r['threads']} | {r['cpu_s']:.3f} | {r['wall_s']:.3f} | {r['us_a_token']:.3g} | "
              + (f"{torch['us_a_token'] / r['us_a_token']:.0f} |" if r["method"].startswith("kgw") else "|"))
print("\n| one candidate of KGW's self hash | us |\n|---|---|")
for r in rows:
    if r["what"] == "candidate":
        print(f"| {r['way']} | {r['us']:.3g} |")
END
