#!/usr/bin/env bash
# lathe inspect: what it shows, and that bad files give one line and a status.
source "$(dirname "$0")/common.sh"

run 0 inspect "$data/average/expected.safetensors"
[[ $out == *"emb.weight"*"F32"* && $out == *"15 tensors, "* ]] || fail "inspect: $out"
run 0 inspect "$data/average/expected.safetensors" --json
[[ $out == *'"tensor_count": 15'* && $out == *'"name": "emb.weight"'* ]] || fail "inspect --json: $out"

for file in "$data"/badfiles/*.safetensors; do
    case $file in
    */ok_*) run 0 inspect "$file" ;;
    *) refuse 1 "$(basename "$file" .safetensors)" inspect "$file" ;;
    esac
done
refuse 1 'nowhere.safetensors: cannot open' inspect nowhere.safetensors
mkdir empty
refuse 1 'no checkpoint' inspect empty
refuse 1 'cannot read: not a regular file' inspect /dev/null
refuse 2 'PATH' inspect
refuse 2 'did you mean --json' inspect --jsn "$data/average/expected.safetensors"
