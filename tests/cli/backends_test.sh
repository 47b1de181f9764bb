#!/usr/bin/env bash
# lathe devices, and --backend: every backend there is merges, those on the host to the same bytes.
source "$(dirname "$0")/common.sh"
base=$data/data_f32/base.safetensors m0=$data/data_f32/m0.safetensors m1=$data/data_f32/m1.safetensors

run 0 devices
mapfile -t backends < <(grep -v 'not available' out.txt | cut -d' ' -f1)
[[ ${#backends[@]} -gt 0 ]] || fail "devices: $out"
run 0 devices --json
[[ ${out:0:1} == '[' && $out == *'"double"'* ]] || fail "devices --json: $out"

# What every method but those with singular values makes, which each backend factorises in its own way.
merges() { # merges BACKEND FOLDER
    mkdir "$2"
    local models=("$m0" "$m1")
    for method in average linear slerp fisher; do
        local more=()
        [[ $method != fisher ]] || more=(--fisher "$data/data_f32/fisher_0.safetensors" --fisher "$data/data_f32/fisher_1.safetensors")
        run 0 merge $method "${models[@]}" "${more[@]}" -o "$2/$method.safetensors" --backend "$1" --no-provenance
    done
    run 0 merge ties --base "$base" "${models[@]}" --density 0.4 -o "$2/ties.safetensors" --backend "$1" --no-provenance
    run 0 merge dare --base "$base" "${models[@]}" --seed 3 --then ties -o "$2/dare.safetensors" --backend "$1" --no-provenance
    run 0 merge fw_merging --base "$base" "${models[@]}" --target "$base" -o "$2/fw_merging.safetensors" --backend "$1" --no-provenance
    run 0 merge frank_wolfe "${models[@]}" --target "$base" --iters 5 -o "$2/frank_wolfe.safetensors" --backend "$1" --no-provenance
}
first=
for backend in "${backends[@]}"; do
    name=${backend//:/-}
    merges "$backend" "$name"
    run 0 kinship --base "$base" "$m0" "$m1" --backend "$backend"
    [[ $(wc -l <<<"$out") == 2 ]] || fail "kinship: $out"
    run 0 merge linear "$m0" "$m1" -o "$name-windows.safetensors" --window 1 --backend "$backend" --no-provenance
    same "$name/linear.safetensors" "$name-windows.safetensors"
    [[ $backend != *:* ]] || continue
    for merged in "$name"/*; do
        same "${first:=$name}/$(basename "$merged")" "$merged"
    done
    refuse 2 "found device '1', expected none with $name" merge linear "$m0" -o x.safetensors --backend "$backend:1"
done
refuse 2 "--backend: found 'cuda:0'" merge linear "$m0" -o x.safetensors --backend cuda:0
