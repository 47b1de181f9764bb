#!/usr/bin/env bash
# lathe devices, and --backend: every backend there is merges, those on the host to the same bytes.
source "$(dirname "$0")/common.sh"
base=$data/data_f32/base.safetensors m0=$data/data_f32/m0.safetensors m1=$data/data_f32/m1.safetensors

run 0 devices
mapfile -t backends < <(grep -v 'not available' out.txt | cut -d' ' -f1)
[[ ${#backends[@]} -gt 0 ]] || fail "devices: $out"
run 0 devices --json
[[ ${out:0:1} == '[' && $out == *'"double"'* ]] || fail "devices --json: $out"

first=
for backend in "${backends[@]}"; do
    name=${backend//:/-}
    run 0 merge ties --base "$base" "$m0" "$m1" --density 0.4 -o "$name.safetensors" --backend "$backend"
    run 0 kinship --base "$base" "$m0" "$m1" --backend "$backend"
    [[ $(wc -l <<<"$out") == 2 ]] || fail "kinship: $out"
    [[ $backend != *:* ]] || continue
    same "${first:=$name.safetensors}" "$name.safetensors"
    refuse 2 "found device '1', expected none with $name" merge linear "$m0" -o x.safetensors --backend "$backend:1"
done
refuse 2 "--backend: found 'cuda:0'" merge linear "$m0" -o x.safetensors --backend cuda:0
