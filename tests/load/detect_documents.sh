#!/usr/bin/env bash
# DOCUMENTS (1000000) texts through `lathe watermark detect`: detect_documents.sh [DOCUMENTS].
source "$(dirname "$0")/common.sh"
documents=${1:-1000000}
make() { # COUNT SEED
    awk -v n="$1" -v s="$2" 'BEGIN {
        k = split("kernel disk boot driver module bread flour oven yeast salt river boat sail wind shore court judge law trial proof", words, " ")
        for (d = 0; d < n; d++) {
            line = "{\"id\": \"" d "\", \"sentences\": ["
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
# The memory of a tenth of them is that of all.
head -n $((documents / 10)) many.jsonl >tenth.jsonl
measured watermark detect tenth.jsonl --text-field sentences --watermark mark.safetensors
tenth=$peak
measured watermark detect many.jsonl --text-field sentences --watermark mark.safetensors
verdicts=$(grep -c 'marked; ' out.txt)
echo "watermark detect, $documents documents of 5 sentences, $(($(stat -c %s many.jsonl) >> 20)) MiB of text: $seconds s, peak resident $peak MiB, of a tenth of them $tenth MiB"
[[ $verdicts == "$documents" ]] || fail "$verdicts verdicts"
[[ $documents -lt 100000 || $peak -le $((tenth + 64)) ]] || fail "memory grows with the number of documents"
