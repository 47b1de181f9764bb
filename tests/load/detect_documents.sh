#!/usr/bin/env bash
# DOCUMENTS (1000000) texts through `lathe watermark detect`: detect_documents.sh [DOCUMENTS].
source "$(dirname "$0")/common.sh"
documents=${1:-1000000}
make() { # COUNT SEED
    awk -v n="$1" -v s="$2" 'BEGIN {
        k = split("kernel disk boot driver module bread flour oven yeast salt river boat sail wind shore court judge law trial proof", words, " ")
        for (d = 0; d < n; d++) {
            line = "{\"sentences\": ["
            for (i = 0; i < 5; i++) {
                text = "Now"
                for (w = 0; w < 5; w++) { s = (s * 1103515245 + 12345) % 2147483648; text = text " " words[int(s / 65536) % k + 1] }
                line = line (i ? ", " : "") "\"" text ".\""
            }
            print line "]}"
        }
    }'
}
make 400 5 >human.jsonl
make "$documents" 99 >many.jsonl
"$LATHE_PROGRAM" watermark calibrate human.jsonl --text-field sentences --fuzzifier 1.02 --seed 1 --quiet -o mark.safetensors
# All documents of one run are in memory, about 20 kB each: a million is given in parts.
split -l 50000 -d -a 4 many.jsonl part-
total=0 most=0 verdicts=0
for part in part-*; do
    mv "$part" part.jsonl
    measured watermark detect part.jsonl --text-field sentences --watermark mark.safetensors
    verdicts=$((verdicts + $(grep -c 'marked; ' out.txt)))
    total=$(awk -v a="$total" -v b="$seconds" 'BEGIN {print a + b}')
    [[ $peak -le $most ]] || most=$peak
done
echo "watermark detect, $documents documents of 5 sentences in parts of 50000, $(($(stat -c %s many.jsonl) >> 20)) MiB of text: $total s, peak resident $most MiB"
[[ $verdicts == "$documents" ]] || fail "$verdicts verdicts"
