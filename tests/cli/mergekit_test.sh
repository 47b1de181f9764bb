#!/usr/bin/env bash
# mergekit configurations: each gives the bits of the same merge by flags; what cannot be done is refused.
source "$(dirname "$0")/common.sh"
d=$data/data_big
base=$d/base.safetensors m0=$d/m0.safetensors m1=$d/m1.safetensors m2=$d/m2.safetensors

# config NAME: reads a configuration from standard input, merges with it to NAME.safetensors.
config() {
    cat >"$1.yml"
    run 0 merge --config "$1.yml" -o "$1.safetensors" --no-provenance # which holds options as they were given
}
flags() {
    local name=$1
    shift
    run 0 merge "$@" -o "$name-flags.safetensors" --no-provenance
    same "$name.safetensors" "$name-flags.safetensors"
}

config linear <<END
merge_method: linear
models:
  - {model: $m0, parameters: {weight: 0.25}}
  - {model: $m1, parameters: {weight: 0.75}}
dtype: float32
END
flags linear linear "$m0" "$m1" --weights 0.25,0.75

config task <<END
merge_method: task_arithmetic
base_model: $base
models:
  - model: $base
  - model: $m0
    parameters:
      weight:
        - {filter: mlp, value: [0.1, 0.9]}
  - model: $m1
parameters:
  weight: 0.5
  lambda: 0.8
dtype: bfloat16
END
flags task task_arithmetic --base "$base" "$m0" "$m1" --scaling 0.8 --out-dtype BF16 \
    --weights '[[{"filter": "mlp", "value": [0.1, 0.9]}, {"value": 0.5}], 0.5]'

config ties <<END
merge_method: ties
base_model: $base
models:
  - {model: $m0, parameters: {weight: 1, density: 0.5}}
  - {model: $m1, parameters: {weight: [0.2, 0.8], density: 1}}
parameters: {normalize: true, int8_mask: true}
END
run 0 merge --config ties.yml -o ties.safetensors --no-provenance
[[ $err == *"int8_mask is not used"* ]] || fail "a note is due: $err"
flags ties ties --variant mergekit --base "$base" "$m0" "$m1" --weights '[1, [0.2, 0.8]]' --density 0.5,1 --lambda 1

for then in ties linear; do
    config dare_$then <<END
merge_method: dare_$then
base_model: $base
models:
  - {model: $m0, parameters: {weight: 0.5}}
  - {model: $m1, parameters: {weight: 0.3}}
parameters: {density: 0.25, lambda: 0.5}
END
done
flags dare_ties dare --variant mergekit --then ties --drop 0.75 --weights 0.5,0.3 --lambda 0.5 --base "$base" "$m0" "$m1"
flags dare_linear dare --variant mergekit --then task_arithmetic --drop 0.75 --weights 0.5,0.3 --scaling 0.5 --base "$base" "$m0" "$m1"
run 0 merge --config dare_ties.yml -o other.safetensors --seed 1
! cmp -s other.safetensors dare_ties.safetensors || fail "--seed changes nothing"

# slerp: t = 0 is the base, wherever it stands.
config slerp <<END
merge_method: slerp
base_model: $m1
models:
  - model: $m0
  - model: $m1
parameters:
  t:
    - {filter: attn, value: [0, 0.5, 1]}
    - value: 0.25
END
flags slerp slerp "$m1" "$m0" --t '[{"filter": "attn", "value": [0, 0.5, 1]}, {"value": 0.25}]'

# Slices that leave all layers in place, with parameters of their own; the last one under a module.
config slices <<END
slices:
  - sources:
      - {model: $m0, layer_range: [0, 1], parameters: {weight: [{filter: layers, value: 1}]}}
      - {model: $m1, layer_range: [0, 1], parameters: {weight: [{filter: layers, value: 3}]}}
  - sources:
      - {model: $m0, layer_range: [1, 2]}
      - {model: $m1, layer_range: [1, 2]}
    parameters: {weight: [{filter: layers, value: 2}]}
merge_method: linear
parameters: {weight: 5}
END
layers() { # the weights of the two models, by name: FIRST in layer 0, SECOND in layer 1, THIRD elsewhere
    echo "[{\"filter\": \"layers.0.\", \"value\": $1}, {\"filter\": \"layers.1.\", \"value\": $2}, {\"value\": $3}]"
}
flags slices linear "$m0" "$m1" --weights "[$(layers 1 2 5), $(layers 3 2 5)]"

config gradients <<END # over the two layers of a slice: t = 0 and 1; outside layers t = 0
slices:
  - sources:
      - {model: $m0, layer_range: [0, 2]}
      - {model: $m1, layer_range: [0, 2]}
merge_method: linear
parameters: {weight: [1, 3]}
END
flags gradients linear "$m0" "$m1" --weights "[$(layers 1 3 1)]"

config module <<END
modules:
  default:
    models:
      - {model: $m0, parameters: {weight: 1}}
      - model: $m1
    parameters: {weight: 2}
merge_method: linear
parameters: {weight: 100, normalize: false}
END
flags module linear "$m0" "$m1" --weights 1,2 --no-normalize

# What is refused, each with its place.
reject() { # PATTERN, configuration on standard input
    cat >bad.yml
    refuse 1 "bad.yml: $1" merge --config bad.yml -o x.safetensors
}
two="models: [{model: $m0}, {model: $m1}]"
reject 'merge_method: found "passthrough", expected one that lathe shares with mergekit: linear, task_arithmetic' <<<"{merge_method: passthrough, $two}"
reject 'merge_method: found null' <<<"{$two}"
reject "dtpye: unknown key; did you mean 'dtype'" <<<"{merge_method: linear, dtpye: float32, $two}"
reject 'weight: no value for model' <<<"{merge_method: linear, $two}"
reject 'base_model: found nothing' <<<"{merge_method: ties, $two}"
reject 'tokenizer_source: found "union"' <<<"{merge_method: linear, tokenizer_source: union, $two}"
reject 'models: found neither' <<<"{merge_method: linear}"
reject 'slerp: found 1 models' <<<"{merge_method: slerp, base_model: $m0, models: [{model: $m0}]}"
reject 'normalize: found' <<<"{merge_method: linear, parameters: {weight: 1, normalize: [{filter: a, value: 1}]}, $two}"
reject 'density: found .*one number for all models' <<<"{merge_method: dare_ties, base_model: $base, parameters: {weight: 1}, models: [{model: $m0, parameters: {density: 0.5}}, {model: $m1}]}"
reject 'merge_method: found the key twice' <<<"merge_method: linear
merge_method: slerp"
reject 'YAML' <<<"{merge_method: linear"
reject 'YAML: nested too deep, or too large' <<<"merge_method: linear
a: &a [x, x, x, x, x, x, x, x, x, x]
b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]
c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]
d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]
e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]"
slice() { echo "{sources: [{model: $m0, layer_range: [$1]}, {model: $m1, layer_range: [$2]}]}"; }
reject 'slices: found layers up to 1, expected 2' <<<"{merge_method: linear, parameters: {weight: 1}, slices: [$(slice 0,1 0,1)]}"
reject '.*layers cannot be moved' <<<"{merge_method: linear, parameters: {weight: 1}, slices: [$(slice 1,2 1,2)]}"
reject '.*layers cannot be moved' <<<"{merge_method: linear, parameters: {weight: 1}, slices: [$(slice 0,2 0,2), $(slice 1,2 1,2)]}"
reject '.*cannot be merged with layers of other numbers' <<<"{merge_method: linear, parameters: {weight: 1}, slices: [$(slice 0,2 1,2)]}"
reject '.*different values' <<<"{merge_method: linear, parameters: {weight: 1}, slices: [{sources: [{model: $m0, layer_range: [0, 1]}], parameters: {weight: 2}}, {sources: [{model: $m0, layer_range: [1, 2]}]}]}"
reject "models\[0\].parameters.densty: unknown parameter; did you mean 'density'" <<<"{merge_method: ties, base_model: $base, models: [{model: $m0, parameters: {weight: 1, densty: 0.5}}]}"
reject 'density: found \[0.53,0.3\]' <<<"{merge_method: dare_ties, base_model: $base, parameters: {weight: 1}, models: [{model: $m0, parameters: {density: 0.53}}, {model: $m1, parameters: {density: 0.3}}]}"
reject '.*parameters.<<: found a merge key' <<<"{merge_method: linear, models: [{model: $m0, parameters: &p {weight: 1}}, {model: $m1, parameters: {<<: *p}}]}"
reject 'found several YAML documents' <<<"{merge_method: linear, parameters: {weight: 1}, $two}
---
{merge_method: slerp}"
reject 'found several YAML documents' <<<'{},' # in which yaml-cpp's LoadAll finds documents without end
for key in dtype out_dtype; do
    echo "{merge_method: linear, $key: int8, parameters: {weight: 1}, $two}" >bad.yml
    refuse 2 "bad.yml: $key: found 'int8'" merge --config bad.yml -o x.safetensors
done
refuse 2 'found method linear, the command line says ties' merge ties --config linear.yml -o x.safetensors
[[ ! -e x.safetensors ]] || fail "x.safetensors was written"
