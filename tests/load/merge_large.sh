#!/usr/bin/env bash
# A merge of GIGABYTES (20) in each of two models under a ceiling of memory: merge_large.sh [GIGABYTES]. Inputs take no room
# on the disk, the result takes GIGABYTES. Then one tensor of 2^31 elements.
source "$(dirname "$0")/common.sh"
gigabytes=${1:-20}
free=$(df --output=avail -B1G . | tail -n 1)
[[ $free -gt $((gigabytes + 5)) ]] || fail "$free GB free, $((gigabytes + 5)) wanted"
sparse a.safetensors BF16 $((gigabytes * 5)) 10000 10000
sparse b.safetensors BF16 $((gigabytes * 5)) 10000 10000
for method in average ties; do
    measured merge $method $([[ $method != ties ]] || echo --base a.safetensors) a.safetensors b.safetensors -o out.safetensors --json
    echo "merge $method, 2 models of $gigabytes GB: $seconds s, peak resident $peak MiB, of it its own $private MiB"
    [[ $peak -lt 512 ]] || fail "more than 512 MiB"
    rm out.safetensors
done
rm a.safetensors b.safetensors
sparse long.safetensors BF16 1 1 2147483648
measured merge average long.safetensors long.safetensors -o out.safetensors
[[ $(stat -c %s out.safetensors) == "$(stat -c %s long.safetensors)" ]] || fail "another size"
echo "merge average, a tensor of 2^31 elements: $seconds s, peak resident $peak MiB"
[[ $peak -lt 512 ]] || fail "more than 512 MiB"
