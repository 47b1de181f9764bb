#!/usr/bin/env bash
# A merge of GIGABYTES (20) in each of two models under a ceiling of memory: merge_large.sh [GIGABYTES [numbers]]. Inputs are
# zeros that take no room on the disk, the result takes GIGABYTES; with "numbers" they are random numbers, and lie there. Then
# one tensor of 2^31 elements, of zeros.
source "$(dirname "$0")/common.sh"
gigabytes=${1:-20}
free=$(df --output=avail -B1G . | tail -n 1)
wanted=$(($([[ ${2:-} == numbers ]] && echo 3 || echo 1) * gigabytes + 5))
[[ $free -gt $wanted ]] || fail "$free GB free, $wanted wanted"
sparse a.safetensors BF16 $((gigabytes * 5)) 10000 10000
sparse b.safetensors BF16 $((gigabytes * 5)) 10000 10000
if [[ ${2:-} == numbers ]]; then # a matrix of BF16 below 2 in size, again and again
    cycle=$(for _ in $(seq 32); do printf '\\074\\075\\274\\076\\275\\077\\276\\277'; done)
    size=$((2 * 10000 * 10000))
    for model in a b; do
        head -c $size /dev/urandom | LC_ALL=C tr '\000-\377' "$cycle" >block
        head=$(($(stat -c %s $model.safetensors) - gigabytes * 5 * size))
        truncate -s $head $model.safetensors
        for ((i = 0; i != gigabytes * 5; ++i)); do
            cat block >>$model.safetensors
        done
    done
    rm block
    sync
fi
for method in average ties; do
    measured merge $method $([[ $method != ties ]] || echo --base a.safetensors) a.safetensors b.safetensors -o out.safetensors --json
    echo "merge $method, 2 models of $gigabytes GB of ${2:-zeros}: $seconds s, peak resident $peak MiB, of it its own $private MiB"
    [[ $peak -lt 512 ]] || fail "more than 512 MiB"
    rm out.safetensors
done
rm a.safetensors b.safetensors
sparse long.safetensors BF16 1 1 2147483648
measured merge average long.safetensors long.safetensors -o out.safetensors --no-provenance
[[ $(stat -c %s out.safetensors) == "$(stat -c %s long.safetensors)" ]] || fail "another size"
echo "merge average, a tensor of 2^31 elements: $seconds s, peak resident $peak MiB"
[[ $peak -lt 512 ]] || fail "more than 512 MiB"
