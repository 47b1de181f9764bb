#!/usr/bin/env bash
# Marks and detects: a corpus of English prose (the package debian-handbook), CoheMark as published, calibrated and keyed, how
# well marked and human texts are told apart before and after attacks, and whether false-positive rates hold on texts that
# were held out. Candidates are drawn from the corpus; no language model is needed. Part of quickstart.sh, which builds the
# programs; takes seconds with hashed embeddings.
#
#   watermark.sh PROGRAMS OUT [--embedder minilm]
set -euo pipefail
programs=$1
out=$2
shift 2
embed=("$@")
mark() { "$programs/lathe" watermark "$@" --text-field sentences --seed 1 "${embed[@]}"; }

"$programs/handbook" --out "$out"
cd "$out"
for method in cohemark keyed_cohemark; do
    key=()
    [ $method = cohemark ] || key=(--key 20250417)
    printf '\n'
    mark calibrate human.jsonl --method $method --fuzzifier 1.02 "${key[@]}" -o $method.safetensors
    mark sample held-out.jsonl --watermark $method.safetensors "${key[@]}" --corpus corpus.jsonl --sentences 8 -o $method.jsonl
    printf '\n'
    mark evaluate held-out.jsonl --watermark $method.safetensors "${key[@]}" --marked $method.jsonl \
        --attack word_deletion:0.1 --attack sentence_deletion:0.2
    mark detect $method.jsonl --watermark $method.safetensors "${key[@]}" --html $method.html --quiet
done
printf '\nEvery sentence and what it says: %s, %s\n' "$out/cohemark.html" "$out/keyed_cohemark.html"
