#!/usr/bin/env bash
# lathe merge: results, files and folders, configurations, and what it refuses.
source "$(dirname "$0")/common.sh"
m0=$data/data_f32/m0.safetensors m1=$data/data_f32/m1.safetensors m2=$data/data_f32/m2.safetensors
base=$data/data_f32/base.safetensors

# A merge of one model with itself is that model.
run 0 merge average "$m0" -o one.safetensors --no-provenance
run 0 merge linear --weights 0.5,0.5 "$m0" "$m0" -o two.safetensors --no-provenance
same one.safetensors two.safetensors
[[ -z $err ]] || fail "a pipe is quiet: $err"
run 0 merge average "$m0" -o one.safetensors --quiet
[[ -z $out$err ]] || fail "--quiet: $out$err"

# Threads do not change the bits, spellings of flags do not change the meaning.
run 0 merge task_arithmetic --base "$base" --scaling -0.3 "$m0" "$m1" -o a.safetensors --threads 1
run 0 merge task-arithmetic --base="$base" --scaling=-0.3 -o b.safetensors --threads 3 -- "$m0" "$m1"
same a.safetensors b.safetensors
run 0 merge linear --weights '[1, {"emb.weight": 2, "head.weight": 1}]' --no-normalize "$m0" "$m1" -o c.safetensors --print-config
[[ $out == *'"emb.weight": 2.0'* ]] || fail "--weights with JSON: $out"
run 0 merge fisher --fisher "$data/data_f32/fisher_0.safetensors" --fisher "$data/data_f32/fisher_1.safetensors" "$m0" "$m1" -o c.safetensors

# JSON and nothing else on standard output.
run 0 merge linear "$m0" "$m1" -o c.safetensors --json --weights 0.25,0.75
[[ ${out:0:1} == '{' && $out == *'"status": "converged"'* && $out == *'"seconds"'* && $out == *'"lathe"'* ]] || fail "--json: $out"

# --print-config reproduces a run, and writes nothing.
run 0 merge linear --weights 0.25,0.75 --dtype bfloat16 "$m0" "$m1" -o d.safetensors --print-config
[[ ! -e d.safetensors ]] || fail "--print-config wrote"
cp out.txt config.json
run 0 merge --config config.json
cp d.safetensors first.safetensors
run 0 merge linear --config config.json -o second.safetensors
same first.safetensors second.safetensors
run 0 merge linear --weights 0.25,0.75 --out-dtype BF16 "$m0" "$m1" -o third.safetensors
same first.safetensors third.safetensors
echo '{"weights": [0.25, 0.75]}' >options.json
run 0 merge linear --options options.json --out-dtype bf16 "$m0" "$m1" -o fourth.safetensors
same first.safetensors fourth.safetensors
run 0 inspect first.safetensors
[[ $out == *"head.weight           BF16"* ]] || fail "--out-dtype: $out"

# Folders, shards, and what lies beside the weights.
mkdir -p model && cp "$m0" model/model.safetensors
echo '{"hidden_size": 8, "torch_dtype": "float32"}' >model/config.json
echo '{}' >model/tokenizer.json
echo 'x' >model/pytorch_model.bin
run 0 merge average model model -o merged --max-shard-size 1kB --out-dtype BF16 --no-provenance
[[ -e merged/model.safetensors.index.json && ! -e merged/model.safetensors ]] || fail "shards: $(ls merged)"
[[ -e merged/tokenizer.json && ! -e merged/pytorch_model.bin ]] || fail "side files: $(ls merged)"
grep -q '"torch_dtype": "bfloat16"' merged/config.json || fail "config.json: $(<merged/config.json)"
run 0 merge average merged -o back.safetensors --no-provenance
run 0 merge average model -o direct.safetensors --out-dtype BF16 --no-provenance
same back.safetensors direct.safetensors
# Vocabularies are long; newer configurations say dtype.
{
    printf '{"vocab": {"a": 0'
    seq -f ', "token%.0f": 1' 1000000
    echo '}}'
} >model/tokenizer.json
echo '{"hidden_size": 8, "dtype": "float32"}' >model/config.json
run 0 merge average model -o long --out-dtype F16
same long/tokenizer.json model/tokenizer.json
grep -q '"dtype": "float16"' long/config.json || fail "config.json: $(<long/config.json)"
# A configuration that is nested without end is copied as it is.
head -c 200000 /dev/zero | tr '\0' '[' | sed 's/^/{"torch_dtype": "float32", "x": /' >model/config.json
head -c 200000 /dev/zero | tr '\0' ']' | sed 's/$/}/' >>model/config.json
run 0 merge average model -o deep --out-dtype BF16
same deep/config.json model/config.json
# Adapters keep their name, or their loaders do not find them.
mkdir adapter && cp "$m0" adapter/adapter_model.safetensors && echo '{}' >adapter/adapter_config.json
run 0 merge average adapter adapter -o adapters
[[ $(echo $(ls adapters)) == 'adapter_config.json adapter_model.safetensors' ]] || fail "adapters: $(ls adapters)"
refuse 2 'would replace the input' merge average adapter -o adapter
run 0 merge average model -o bare --no-copy-side-files
[[ $(ls bare) == model.safetensors ]] || fail "--no-copy-side-files: $(ls bare)"

# Inputs are never replaced.
cp "$m0" in.safetensors
refuse 2 'would replace the input' merge average in.safetensors "$m1" -o in.safetensors
refuse 2 'would replace the input' merge average in.safetensors "$m1" -o ./in.safetensors
refuse 2 'would replace the input' merge average model "$m1" -o model
refuse 2 'would replace the input' merge average model "$m1" -o model/model.safetensors
ln -s in.safetensors link.safetensors
refuse 2 'would replace the input' merge average link.safetensors "$m1" -o in.safetensors
same in.safetensors "$m0"
refuse 2 'would replace the input' merge frank_wolfe "$m0" "$m1" --target in.safetensors -o in.safetensors
same in.safetensors "$m0"
# Nor are shards of them, nor what links lead to.
run 0 merge average "$m0" -o set --max-shard-size 1kB
mkdir linked
for file in set/*; do
    ln -s "../$file" linked/
done
shard=$(echo set/model-00002-of-*)
cp "$shard" shard.copy
refuse 2 'would replace the input' merge average set "$m1" -o "$shard"
refuse 2 'would replace the input' merge average linked "$m1" -o "$shard"
refuse 2 'would replace the input' merge average linked "$m1" -o set
same "$shard" shard.copy

# --out-dtype is the type of all floating tensors, those that are copied as well.
run 0 merge linear --weights 1,0,0 --policy keep_base "$data"/data_missing/{base,m0,m1}.safetensors -o kept.safetensors --out-dtype BF16 --no-provenance
run 0 inspect kept.safetensors
[[ $out != *F32* ]] || fail "--out-dtype leaves tensors out: $out"
run 0 merge linear --weights 1,0,0 --policy keep_base "$data"/data_missing/{base,m0,m1}.safetensors -o wide.safetensors --no-provenance
run 0 merge average wide.safetensors -o narrow.safetensors --out-dtype BF16 --no-provenance
same kept.safetensors narrow.safetensors

# Types of eight bits cannot be merged, and that is said.
printf '\x40\0\0\0\0\0\0\0%-64s\x30' '{"w":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}' >eight.safetensors
run 0 merge average eight.safetensors eight.safetensors -o x8.safetensors
[[ $err == *"1 tensor of type F8_E4M3 is copied from eight.safetensors, not merged"* ]] || fail "a note is due: $err"
rm x8.safetensors

# What a person can get wrong.
refuse 2 "did you mean 'ties'" merge tie "$m0" -o x.safetensors
refuse 2 'did you mean --version' --verison
refuse 2 "no method" merge
refuse 2 "unknown command; did you mean 'merge'" merg
refuse 2 "no command" --
refuse 2 "did you mean --weights" merge linear --weight 1 "$m0" -o x.safetensors
refuse 2 "did you mean 'weights'" merge linear --options <(echo '{"weigths": [1]}') "$m0" -o x.safetensors
refuse 2 'weights\[1\]: found "y", expected a number' merge linear --weights 1,y "$m0" "$m1" -o x.safetensors
refuse 2 'weights: found 3 values, expected one for each of 2 models' merge linear --weights 1,2,3 "$m0" "$m1" -o x.safetensors
refuse 2 'weights.*sum' merge linear --weights 1,-1 "$m0" "$m1" -o x.safetensors
refuse 2 'MODELS: found none' merge linear -o x.safetensors
refuse 2 '--output: found nothing' merge linear "$m0"
refuse 2 '--base: found nothing' merge task_arithmetic "$m0" -o x.safetensors
refuse 2 "--backend: found 'gpu'" merge linear "$m0" -o x.safetensors --backend gpu
refuse 2 '--threads: found 5000' merge linear "$m0" -o x.safetensors --threads 5000
refuse 2 'threads: found -1' merge linear "$m0" -o x.safetensors --threads -1
refuse 2 '--output: found x.bin' merge linear "$m0" -o x.bin
refuse 2 "--max-shard-size: found '5 apples'" merge linear "$m0" -o x.safetensors --max-shard-size '5 apples'
refuse 2 "--out-dtype: found 'int4'" merge linear "$m0" -o x.safetensors --out-dtype int4
refuse 2 'policy: found "lenient", expected one of strict\|keep_base\|intersect' merge linear "$m0" -o x.safetensors --policy lenient
refuse 2 '--fisher: found 1 files' merge fisher --fisher "$data/data_f32/fisher_0.safetensors" "$m0" "$m1" -o x.safetensors
refuse 1 'nowhere.safetensors' merge linear "$m0" nowhere.safetensors -o x.safetensors
refuse 1 'emb.weight' merge task_arithmetic --base "$data/data_missing/base.safetensors" "$data/data_missing/m0.safetensors" "$data/data_missing/m1.safetensors" -o x.safetensors
refuse 1 '.' merge linear "$m0" -o /proc/self/nothing/x.safetensors
refuse 1 '.' merge linear "$m0" -o "$PWD/one.safetensors/x.safetensors"
refuse 1 'JSON' merge linear --options "$m0" "$m0" -o x.safetensors
refuse 1 'twice' merge linear --options <(echo '{"weights": [1], "weights": [2]}') "$m0" -o x.safetensors
[[ -z $(ls -A | grep -E '^x|^\.lathe' || true) ]] || fail "something was left behind: $(ls -A)"

# The list of methods, and help for each.
run 0 methods
while read -r method _; do
    [[ -n $method && $method != lathe ]] || continue
    run 0 merge "$method" --help
    [[ $out == *"--output"* ]] || fail "help of $method: $out"
done <<<"$out"
run 0 methods --json
[[ ${out:0:1} == '[' && $out == *'"name": "linear"'* ]] || fail "methods --json: $out"
run 0 --help
run 0 --version
