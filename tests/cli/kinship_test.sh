#!/usr/bin/env bash
# lathe kinship: the table, JSON, and what it refuses.
source "$(dirname "$0")/common.sh"
kin=$data/data_kin

run 0 kinship --base "$kin/base.safetensors" "$kin"/m{0,1,2,3}.safetensors
[[ $(wc -l <<<"$out") == 7 && $out == *"m0     m1     0.0236258"* ]] || fail "table: $out"
run 0 kinship --base "$kin/base.safetensors" "$kin"/m{0,1}.safetensors --mode split
[[ $out == *0.018545* ]] || fail "split: $out"
run 0 kinship --base "$kin/base.safetensors" "$kin"/m{0,1}.safetensors --json --per-tensor --low-precision
[[ ${out:0:1} == '{' && $out == *'"tensors"'* && $out == *'"pcc"'* ]] || fail "json: $out"
refuse 2 'at least two' kinship --base "$kin/base.safetensors" "$kin/m0.safetensors"
refuse 2 '--base: found nothing' kinship "$kin"/m{0,1}.safetensors
refuse 2 'did you mean --mode' kinship --mod split "$kin"/m{0,1}.safetensors
