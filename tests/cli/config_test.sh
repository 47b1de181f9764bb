#!/usr/bin/env bash
# --print-config and --config of every command that computes: the same bytes again, what wins over what, what is refused;
# and what results say of where they come from.
source "$(dirname "$0")/common.sh"
m0=$data/data_f32/m0.safetensors m1=$data/data_f32/m1.safetensors base=$data/data_f32/base.safetensors
points=$LATHE_TEST_DATA/watermark/fcm_blobs/X.npy

# again NAME OUTPUT ARGUMENTS...: runs the command; its configuration, which is printed and nothing is done; and that,
# also without the command and printed once more. The output is the same each time.
again() {
    local name=$1 output=$2
    shift 2
    run 0 "$@" --print-config
    [[ ! -e $output ]] || fail "$name: --print-config wrote $output"
    cp out.txt "$name.json"
    grep -q '"lathe": "' "$name.json" && grep -q '"command": "' "$name.json" || fail "$name: $out"
    run 0 "$@"
    mv "$output" "$name.first"
    run 0 --config "$name.json"
    [[ -e $output ]] || fail "$name: --config wrote nothing"
    diff -r "$name.first" "$output" >/dev/null || fail "$name: the configuration gives another $output"
    mv "$output" "$name.second"
    run 0 --config "$name.json" --print-config
    same out.txt "$name.json"
}
again linear linear.safetensors merge linear --weights 0.25,0.75 "$m0" "$m1" -o linear.safetensors
again dare dare.safetensors merge dare --base "$base" --drop 0.7 --seed 18446744073709551615 "$m0" "$m1" -o dare.safetensors --threads 1
again slerp slerp.safetensors merge slerp "$m0" "$m1" --t '[{"filter": "head", "value": [0, 0.1]}, {"value": 0.3}]' -o slerp.safetensors
again nearest nearest.safetensors merge frank-wolfe "$m0" "$m1" --target "$base" --iters 3 --step exact -o nearest.safetensors
again fit c.npy cluster fit "$points" --clusters 3 --fuzzifier 2 --seed 4 -o c.npy
cp fit.first centres.npy
again predict u.npy cluster predict "$points" --centres centres.npy --fuzzifier 2 -o u.npy
weights model.safetensors 2 12 10
again kasa kasa adapt init kasa model.safetensors --target-modules proj --rank 2 --seed 5 --beta 0.125 -o kasa
again pissa residual.safetensors adapt init pissa-fast model.safetensors --target-modules proj --rank 2 --residual residual.safetensors -o pissa
cp pissa.first residual.safetensors
again merged merged.safetensors adapt merge residual.safetensors --adapter pissa -o merged.safetensors
for i in $(seq 24); do
    echo "{\"id\": \"d$i\", \"sentences\": [\"Boats number $i sail.\", \"Bread $i rises.\", \"Wind $((i * 7 % 5)) blows.\", \"Law $((i % 3)) holds.\"]}"
done >human.jsonl
again calibrate mark.safetensors watermark calibrate human.jsonl --text-field sentences --method semstamp --seed 1 -o mark.safetensors
cp calibrate.first mark.safetensors
again sample marked.jsonl watermark sample human.jsonl --text-field sentences --watermark mark.safetensors --corpus human.jsonl --sentences 2 \
    --max-trials 4 --at-budget take_best --seed 2 -o marked.jsonl

# prints NAME ARGUMENTS...: the same for a command whose result is what it prints.
prints() {
    local name=$1
    shift
    run 0 "$@" --json
    cp out.txt "$name.first"
    run 0 "$@" --json --print-config
    cp out.txt "$name.json"
    run 0 --config "$name.json"
    same out.txt "$name.first"
}
prints kinship kinship --base "$base" "$m0" "$m1" --low-precision --per-tensor
prints validate cluster validate "$points" --centres centres.npy --fuzzifier 2
mv sample.first marked.jsonl
prints detect watermark detect marked.jsonl --text-field sentences --watermark mark.safetensors
echo '{"id": "all", "tokens": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}' >ids.jsonl
prints unigram watermark tokens unigram ids.jsonl --vocabulary 200 --key 12345678901234567890
cat >gold.json <<'END'
[{"id": "k", "conversations": [{"role": "assistant", "content": "Node:\n1: open the door\n2: walk out\nEdge: (START,1) (1,2) (2,END)"}]}]
END
cat >predicted.json <<'END'
[{"query": {}, "workflow": "Node:\n1: walk out\n2: open the door\nEdge: (START,1) (1,2) (2,END)"}]
END
prints worfeval worfeval --gold gold.json --predicted predicted.json --embedder hashing --threshold 0.5

# Flags win over the configuration; of a list the whole list; the command may be there or not.
run 0 cluster fit --config fit.json --clusters 4 --print-config
[[ $out == *'"clusters": 4'* && $out == *'"fuzzifier": 2.0'* && $out == *'"seed": 4'* ]] || fail "override: $out"
run 0 merge linear --config linear.json --weights 1,0 --threads 1 --print-config
[[ $(tr -d ' \n' <<<"$out") == *'"weights":[1.0,0.0]'* && $out == *'"threads": 1'* ]] || fail "override: $out"
run 0 adapt init kasa other.safetensors --config kasa.json --svd.tolerance 1e-6 --print-config
[[ $out == *'"base": "other.safetensors"'* && $out == *'"tolerance": 1e-06'* && $out == *'"beta": 0.125'* ]] || fail "override: $out"
run 0 cluster fit --config fit.json -o c.npy --threads 2
same c.npy fit.first

# What a configuration cannot be. The file, the place, what was found, and what was expected or meant.
change() { sed "s/$1/" "$2" >bad.json; }
change '"fuzzifier"/"fuzifier"' fit.json
refuse 2 "bad.json: options.fuzifier: unknown option; did you mean 'fuzzifier'" --config bad.json
change '"points"/"pionts"' fit.json
refuse 2 "bad.json: settings.pionts: unknown option; did you mean 'points'" cluster fit --config bad.json
change '"options"/"optoins"' fit.json
refuse 2 "bad.json: optoins: unknown key; did you mean 'options'" cluster fit --config bad.json
change '"threads": [0-9]*/"threads": "two"' fit.json
refuse 2 'bad.json: run.threads: found "two", expected an integer from 0' cluster fit --config bad.json
change '"tolerance": [^,]*/"tolerance": []' kasa.json
refuse 2 'bad.json: options.svd.tolerance: found \[\], expected a number' adapt init kasa --config bad.json
change '"tolerance"/"tolerence"' kasa.json
refuse 2 "bad.json: options.svd.tolerence: unknown option; did you mean 'tolerance'" adapt init kasa --config bad.json
change '"weights"/"weigths"' linear.json
refuse 2 "weigths: unknown option; did you mean 'weights'" --config bad.json
refuse 2 "fit.json: found a configuration of 'lathe cluster fit', the command line says 'lathe kinship'" kinship --config fit.json
refuse 2 "kasa.json: found a configuration of 'lathe adapt init kasa', the command line says 'lathe adapt init lora'" adapt init lora --config kasa.json
refuse 2 "fit.json: found a configuration of 'lathe cluster fit'" merge linear --config fit.json
refuse 2 'found method linear, the command line says ties' merge ties --config linear.json
refuse 2 'clusters: found "many", expected an integer' cluster fit "$points" --clusters many --print-config
refuse 2 'did you mean --clusters' cluster fit "$points" --cluters 3 --print-config
echo '{"points": 1}' >bad.json
refuse 1 'bad.json: found no command' cluster fit --config bad.json
echo '{"command": "cluster fit", "command": "cluster fit"}' >bad.json
refuse 1 'key "command" twice' cluster fit --config bad.json
refuse 1 'cannot open' --config none.json
change '"lathe": "[^"]*"/"lathe": "99.0.0"' fit.json
run 0 cluster fit --config bad.json -o c.npy
[[ $err == *"note: bad.json: of version 99.0.0, and this is "* ]] || fail "version: $err"

# What results say of themselves: the same in the file and in the report, whatever the threads; hashes that others compute.
metadata() { head -c $((8 + $(od -An -tu8 -N8 "$1"))) "$1" | tail -c +9; }
run 0 merge linear --weights 0.25,0.75 "$m0" "$m1" -o p1.safetensors --threads 1 --json
sum=$(sha256sum "$m0" | cut -d' ' -f1)
for part in '"provenance": {' '"device": "' '"role": "models"' '"name": "m0.safetensors"' "\"sha256\": \"$sum\""; do
    [[ $out == *"$part"* ]] || fail "report without $part: $out"
done
run 0 merge linear --weights 0.25,0.75 "$m0" "$m1" -o p2.safetensors --threads 2
same p1.safetensors p2.safetensors
for part in '"format":"pt"' '\"lathe\":\"' '\"command\":\"merge\"' '\"method\":\"linear\"' '\"weights\":[0.25,0.75]' "\\\"sha256\\\":\\\"$sum\\\""; do
    [[ $(metadata p1.safetensors) == *"$part"* ]] || fail "metadata without $part: $(metadata p1.safetensors)"
done
run 0 merge linear --weights 0.25,0.75 "$m0" "$m1" -o p2.safetensors --json --no-provenance
[[ $(metadata p2.safetensors) != *'"lathe"'* && $out == *'"provenance": null'* ]] || fail "--no-provenance: $out"
run 0 merge dare --base "$base" --drop 0.7 --seed 3 "$m0" "$m1" -o p3.safetensors
[[ $(metadata p3.safetensors) == *'\"seed\":3,\"inputs\"'* ]] || fail "seed: $(metadata p3.safetensors)"
[[ $(metadata kasa.first/adapter_model.safetensors) == *'\"method\":\"kasa\"'* ]] || fail "adapter: $(metadata kasa.first/adapter_model.safetensors)"
# Of a large input samples are hashed, which tell fine-tunes apart; or everything.
weights large.safetensors 3 300 400
run 0 merge average large.safetensors -o p4.safetensors --json
[[ $out == *'"sha256_samples": "'* && $out != *'"sha256": '* ]] || fail "samples: $out"
cp out.txt samples.txt
run 0 merge average large.safetensors -o p4.safetensors --json --hash-inputs
[[ $out == *"\"sha256\": \"$(sha256sum large.safetensors | cut -d' ' -f1)\""* ]] || fail "--hash-inputs: $out"
weights large.safetensors 3 300 400
run 0 merge average large.safetensors -o p4.safetensors --json
[[ $(grep sha256 out.txt) != $(grep sha256 samples.txt) ]] || fail "the samples of two checkpoints are the same"
# The key of a watermark is not in the file that detectors get.
run 0 watermark calibrate human.jsonl --text-field sentences --method semstamp --key 15485867 --seed 1 -o mark.safetensors
[[ $(metadata mark.safetensors) != *15485867* ]] || fail "the key is in the file"
