#!/usr/bin/env bash
# Every compiler makes a program of bits.cpp that prints the same digests: one method of each pillar, two sizes of window, one
# thread and three. Without the contraction of a*b + c, as docs/numbers.md has it.
#   check.sh [FLAG...]      the same with other flags: -march=x86-64-v3, say
source "$(dirname "$0")/../support/tree.sh"
asked=($(compilers))
[ ${#asked[@]} != 1 ] || asked+=("${asked[0]}")

# compile NUMBER: the first at -O1, the others at -O2
compile() {
    ${asked[$1]} -std=c++20 "$([ "$1" = 0 ] && echo -O1 || echo -O2)" -ffp-contract=off "${flags[@]}" \
        -Iinclude tests/compilers/bits.cpp -o "$work/program$1" -pthread
    "$work/program$1" >"$work/said$1"
}
flags=("$@")
jobs=()
for i in "${!asked[@]}"; do
    compile "$i" &
    jobs+=($!)
done
for job in "${jobs[@]}"; do
    wait "$job"
done
cd "$work"
half=$(($(wc -l <said0) / 2))
cmp <(head -n $half said0) <(tail -n $half said0) || { echo "FAIL ${asked[0]}: the number of threads changes bits" && exit 1; }
for i in "${!asked[@]}"; do
    diff said0 "said$i" || { echo "FAIL: ${asked[0]} -O1 and ${asked[$i]} -O2 make programs with other results" && exit 1; }
done
sort -u said0 >lines
[ "$(cut -c1-28 lines | sort -u | wc -l)" = "$(wc -l <lines)" ] || { echo "FAIL: the size of the window changes bits" && exit 1; }
echo "$(wc -l <lines) results have the same bits with:" "${asked[@]}"
