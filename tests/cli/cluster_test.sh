#!/usr/bin/env bash
# lathe cluster: centres, memberships, indices, warnings, and what it refuses.
source "$(dirname "$0")/common.sh"
water=$LATHE_TEST_DATA/watermark
points=$water/fcm_blobs/X.npy

run 0 cluster fit "$points" --clusters 3 --fuzzifier 2 --seed 4 -o c.npy
[[ $out == *"c.npy: 3 centres of 90 points, converged after"* && $out == *"share of the points"* ]] || fail "fit: $out"
cp c.npy first.npy
for threads in 1 2; do
    run 0 cluster fit "$points" --clusters 3 --fuzzifier 2 --seed 4 --threads $threads --json -o c.npy
    [[ ${out:0:1} == '{' && $out == *'"status": "converged"'* && $out == *'"collapse"'* ]] || fail "json: $out"
    same c.npy first.npy
done
run 0 cluster fit "$points" --clusters 3 --fuzzifier 2 --start-centres first.npy --stop centre --tolerance 0 \
    --max-iterations 2 --json -o c.npy
[[ $out == *'"iterations": 2'* ]] || fail "start: $out"
run 0 cluster predict "$points" --centres first.npy --fuzzifier 2 -o u.npy
[[ $out == "u.npy: memberships of 90 points in 3 clusters" && $(stat -c %s u.npy) == $((128 + 90 * 3 * 8)) ]] || fail "predict: $out"
run 0 cluster predict "$points" --centres first.npy --fuzzifier 2 --json -o u.npy
[[ $out == *'"nearest"'* ]] || fail "predict json: $out"
run 0 cluster validate "$points" --centres first.npy --fuzzifier 2
[[ $out == *"partition_coefficient"* && $out == *"xie_beni"* && $out == *"collapse from fuzzifier"* ]] || fail "validate: $out"
run 0 cluster validate "$points" --centres first.npy --json
[[ $out == *'"fukuyama_sugeno"'* && $out == *'"warnings"'* ]] || fail "validate json: $out"
# Isotropic points and a fuzzifier above their bound.
run 0 cluster fit "$water/fcm_collapse/X.npy" --clusters 4 --fuzzifier 2 --tolerance 1e-9 -o merged.npy
[[ $err == *"warning: fuzzifier 2 is not below 1.20862"* && $err == *"6 pairs of centres have merged"* ]] || fail "warnings: $err"
# Tensors of checkpoints are points too.
run 0 cluster fit "$data/data_kin/base.safetensors" --tensor "$("$LATHE_PROGRAM" inspect "$data/data_kin/base.safetensors" --json | grep -o '"name": "[^"]*weight"' | head -1 | cut -d'"' -f4)" \
    --clusters 2 -o t.npy || fail "tensor"

refuse 2 '--output: found nothing' cluster fit "$points"
refuse 2 'ends in .npy' cluster fit "$points" -o c.bin
refuse 2 'fuzzifier: found 1' cluster fit "$points" --fuzzifier 1 -o c.npy
refuse 2 'did you mean --fuzzifier' cluster fit "$points" --fuzifier 2 -o c.npy
refuse 2 'one of the' cluster fit "$data/data_kin/base.safetensors" -o c.npy
refuse 2 'has one array' cluster fit "$points" --tensor x -o c.npy
refuse 1 'cannot open' cluster fit none.npy -o c.npy
refuse 1 'expected clusters x 3' cluster predict "$points" --centres "$water/fcm_stream_rho1/C0.npy" -o u.npy
refuse 1 'expected floating' cluster predict "$points" --centres "$water/seed_dsq/plain.npy" -o u.npy
refuse 2 'known: fit, predict, validate' cluster
refuse 2 'not built with' cluster fit "$points" --backend none -o c.npy
printf 'not an array' >bad.npy
refuse 1 'x93NUMPY' cluster fit bad.npy -o c.npy
