#!/usr/bin/env bash
# PAIRS (100000) workflows through `lathe worfeval`: worfeval_pairs.sh [PAIRS].
source "$(dirname "$0")/common.sh"
pairs=${1:-100000}
awk -v n="$pairs" 'BEGIN {
    for (i = 0; i < n; i++) {
        a = i % 97; b = i % 89
        print "{\"id\": \"" i "\", \"conversations\": [{\"role\": \"assistant\", \"content\": \"Node:\\n1: boil the water " a "\\n2: warm the pot " b "\\n3: pour it\\n4: serve\\nEdge: (START,1) (START,2) (1,3) (2,3) (3,4) (4,END)\"}]}" >"gold.jsonl"
        print "{\"workflow\": \"Node:\\n1: warm the pot " b "\\n2: boil the water " a "\\n3: pour it\\nEdge: (START,1) (START,2) (1,3) (2,3) (3,END)\"}" >"said.jsonl"
    }
}'
measured worfeval --gold gold.jsonl --predicted said.jsonl --embedder hashing
echo "worfeval, $pairs pairs, both levels: $seconds s, peak resident $peak MiB"
grep -q " $pairs " out.txt || fail "not all pairs: $(<out.txt)"
