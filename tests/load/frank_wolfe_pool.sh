#!/usr/bin/env bash
# Frank-Wolfe over a pool of MODELS (200) checkpoints of 1 MiB: frank_wolfe_pool.sh [MODELS].
source "$(dirname "$0")/common.sh"
models=${1:-200}
sparse zero.safetensors F32 4 256 256
head=$(($(stat -c %s zero.safetensors) - (1 << 20)))
one() { # FILE: random numbers below 2 in size
    head -c $head zero.safetensors >"$1"
    head -c $((1 << 20)) /dev/urandom | LC_ALL=C tr '\000-\377' "$cycle" >>"$1"
}
cycle=$(for _ in $(seq 32); do printf '\\074\\075\\274\\076\\275\\077\\276\\277'; done)
one target.safetensors
files=()
for ((i = 0; i != models; ++i)); do
    one m$i.safetensors
    files+=(m$i.safetensors)
done
measured merge frank_wolfe "${files[@]}" --target target.safetensors --method pairwise --step exact --iters 2000 -o out.safetensors --json
status=$(grep -o '"status": "[a-z_]*"' out.txt | head -n 1)
echo "frank_wolfe, $models models of 1 MiB: $seconds s, peak resident $peak MiB, $status, $(grep -o '"iterations": [0-9]*' out.txt | head -n 1), $(grep -o '"gap": [-0-9.e+]*' out.txt | head -n 1)"
