#!/usr/bin/env bash
# lathe adapt: what each command writes, which weights it takes, and what it refuses.
source "$(dirname "$0")/common.sh"

weights base.safetensors 3 24 20
tree() { (cd "$1" && find . -type f | sort | tr '\n' ' '); }

# Adapters of every method: the files, the report, and the base that goes with them.
for method in lora rslora dora pissa pissa-fast milora olora mica loftq kasa adalora melora; do
    flags=() after=()
    case $method in
    pissa | pissa-fast | milora | olora | loftq) after=(--residual "$method-base") ;;
    melora) flags=(--ranks 2,2) ;;
    esac
    run 0 adapt init $method base.safetensors --target-modules proj --rank 4 "${flags[@]}" "${after[@]}" -o $method \
        --report $method.json --seed 3
    [[ $out == *"layers.00.proj"* && $out == *"adapters for 3 weights"* ]] || fail "init $method: $out"
    [[ $(tree $method) == "./adapter_config.json ./adapter_model.safetensors " ]] || fail "init $method: $(tree $method)"
    [[ ! -e $method.unfinished && ! -e $method-base.unfinished ]] || fail "init $method: left work behind"
    [[ $(grep -c '"module"' $method.json) == 3 && $(<$method.json) == *'"rank": 4'* ]] || fail "init $method: $(<$method.json)"
    run 0 adapt inspect $method
    [[ $out == *"layers.02.proj  24 x 20  4"* && $out == *"3 modules"* ]] || fail "inspect $method: $out"
    if [[ ${#after[@]} != 0 ]]; then # residual + s B A is the base again, to the rounding of BF16
        [[ $(tree $method-base) == "./model.safetensors " ]] || fail "init $method: $(tree $method-base)"
    fi
done
[[ $(<pissa.json) == *'"energy_kept": 0.'* && $(<kasa.json) == *'"error_bound": '[0-9]* ]] || fail "report: $(<kasa.json)"
[[ $(<kasa/adapter_config.json) == *kasa_config* && $(<dora/adapter_config.json) == *'"use_dora": true'* ]] || fail "config"
[[ $(<rslora/adapter_config.json) == *'"use_rslora": true'* && $(<adalora/adapter_config.json) == *'"init_r": 4'* ]] || fail "config"

# The same bits for any number of threads and twice.
for threads in 1 2; do
    run 0 adapt init milora base.safetensors --target-modules proj --rank 4 --residual again-base -o again --threads $threads \
        --seed 3 --json
    [[ ${out:0:1} == '{' && $out == *'"weights": ['* && $out == *'"resumed": 0'* ]] || fail "json: $out"
    same again/adapter_model.safetensors milora/adapter_model.safetensors
    same again-base/model.safetensors milora-base/model.safetensors
done

# Which weights: ends of names, all-linear, one regular expression, without some, ranks and alphas by name.
modules() {
    run 0 adapt init lora base.safetensors -o chosen --json "$@"
    grep -o '"module": "[^"]*"' <<<"$out" | cut -d'"' -f4 | tr '\n' ' '
}
[[ $(modules --target-modules 01.proj,layers.02.proj) == "layers.01.proj layers.02.proj " ]] || fail "names"
[[ $(modules --target-modules all-linear) == "layers.00.proj layers.01.proj layers.02.proj " ]] || fail "all-linear"
[[ $(modules --target-modules proj --exclude-modules 01.proj) == "layers.00.proj layers.02.proj " ]] || fail "exclude"
[[ $(modules --target-pattern 'layers\.0[12]\..*') == "layers.01.proj layers.02.proj " ]] || fail "pattern"
[[ $(<chosen/adapter_config.json) == *'"layers.01.proj"'* ]] || fail "names in full: $(<chosen/adapter_config.json)"
[[ $(modules --target-modules proj --module-prefix model.) == "model.layers.00.proj model.layers.01.proj model.layers.02.proj " ]] || fail "prefix"
run 0 adapt merge base.safetensors --adapter chosen -o prefixed.safetensors # whose names the base has without it
run 0 adapt init lora base.safetensors --target-modules proj --rank 4 --rank-pattern '{"01.proj": 2}' \
    --alpha-pattern '{"^layers.02.*": 12}' -o patterns
run 0 adapt inspect patterns --json
[[ $(grep -c '"rank": 2' <<<"$out") == 1 && $(grep -c '"scaling": 3.0' <<<"$out") == 1 ]] || fail "patterns: $out"

# Merged and unmerged; the zero change of a LoRA that has not been trained leaves every bit.
run 0 adapt merge base.safetensors --adapter lora -o merged.safetensors --no-provenance
[[ $out == *"1 adapter merged into 3 tensors"* ]] || fail "merge: $out"
same merged.safetensors base.safetensors
run 0 adapt merge base.safetensors --adapter mica --adapter lora --weights 1,0.5 -o merged.safetensors --no-provenance
same merged.safetensors base.safetensors
run 0 adapt merge pissa-base --adapter pissa -o merged.safetensors
run 0 adapt unmerge merged.safetensors --adapter pissa -o unmerged
[[ $(tree unmerged) == "./model.safetensors " ]] || fail "unmerge"
mkdir model
cp base.safetensors model/model.safetensors
echo '{"architectures": []}' >model/config.json
run 0 adapt merge model --adapter lora -o copied --max-shard-size 1kB
[[ -f copied/config.json && -f copied/model.safetensors.index.json ]] || fail "side files: $(tree copied)"

# What fine-tuning did, combined, converted.
run 0 adapt extract base.safetensors merged.safetensors --target-modules proj --max-rank 3 -o extracted --json
[[ $out == *'"rank": 3'* && $out == *'"energy_kept": '* ]] || fail "extract: $out"
run 0 adapt extract pissa-base base.safetensors --target-modules proj --max-rank 0 --energy 0.5 -o half --json
[[ $out == *'"rank": 2'* || $out == *'"rank": 1'* || $out == *'"rank": 3'* ]] || fail "energy: $out"
for kind in cat svd linear ties dare_linear dare_ties magnitude_prune ties_svd; do
    run 0 adapt combine pissa milora --weights 0.5,-1 --kind $kind --density 0.5 -o combined-$kind
    [[ $out == *"2 adapters combined in 3 modules"* ]] || fail "combine: $out"
done
[[ $(<combined-cat/adapter_config.json) == *'"r": 8'* ]] || fail "cat: $(<combined-cat/adapter_config.json)"
run 0 adapt convert kasa --base base.safetensors -o kasa-lora
[[ $(<kasa-lora/adapter_config.json) == *'"r": 8'* && $(<kasa-lora/adapter_config.json) != *kasa_config* ]] || fail "convert kasa"
run 0 adapt convert pissa --initial pissa -o nothing
run 0 adapt convert dora --base base.safetensors --rank 5 -o dora-lora
run 0 adapt convert combined-cat --rank 2 -o small
[[ $(<small/adapter_config.json) == *'"r": 2'* ]] || fail "rank: $(<small/adapter_config.json)"

refuse 2 'unknown method; did you mean .pissa.' adapt init pisa base.safetensors -o x
refuse 2 'no method' adapt init
refuse 2 'no command; known: init, merge' adapt
refuse 2 'BASE: found nothing' adapt init lora --target-modules proj -o x
refuse 2 '--output: found nothing' adapt init lora base.safetensors --target-modules proj
refuse 2 'found neither, expected which modules' adapt init lora base.safetensors -o x
refuse 2 'found both' adapt init lora base.safetensors --target-modules proj --target-pattern p -o x
refuse 2 'found no weight' adapt init lora base.safetensors --target-modules none -o x
refuse 1 "'norm.weight'.*cannot have an adapter" adapt init lora base.safetensors --target-modules norm -o x
refuse 1 'target-pattern.*expected a regular expression' adapt init lora base.safetensors --target-pattern '(' -o x
refuse 2 '--residual: found nothing' adapt init pissa base.safetensors --target-modules proj -o x
refuse 2 'leaves the base as it is' adapt init lora base.safetensors --target-modules proj --residual r -o x
refuse 2 'would replace the input' adapt init pissa base.safetensors --target-modules proj --residual base.safetensors -o x
refuse 2 'where the adapter goes' adapt init pissa base.safetensors --target-modules proj --residual x -o x
refuse 2 "'layers.00.proj.weight': r: found 21" adapt init pissa base.safetensors --target-modules proj --rank 21 --residual r -o x
refuse 2 'rule: found "third"' adapt init lora base.safetensors --target-modules proj --rule third -o x
refuse 2 'did you mean --rank' adapt init lora base.safetensors --target-modules proj --rnk 3 -o x
refuse 2 'not built with' adapt init lora base.safetensors --target-modules proj --backend none -o x
refuse 2 'adapter-dtype: found .I8' adapt init lora base.safetensors --target-modules proj --adapter-dtype I8 -o x
refuse 2 'DoRA cannot be unmerged' adapt unmerge base.safetensors --adapter dora -o x
refuse 2 'alone only' adapt merge base.safetensors --adapter kasa --adapter lora -o x
refuse 2 'lathe adapt convert makes a LoRA' adapt combine kasa lora -o x
refuse 2 '--base: found nothing' adapt convert kasa -o x
refuse 2 '--rank: found nothing' adapt convert dora --base base.safetensors -o x
refuse 2 'equal ranks' adapt combine pissa small --kind linear -o x
refuse 1 'cannot open' adapt merge base.safetensors --adapter none -o x
refuse 1 'cannot open' adapt inspect none
refuse 2 'one for each of' adapt merge base.safetensors --adapter lora --weights 1,2 -o x
weights other.safetensors 1 24 20
refuse 1 "no tensor 'layers.01.proj.weight', which the adapter is for" adapt merge other.safetensors --adapter lora -o x
weights other.safetensors 3 20 22
refuse 1 'has shape \[20, 22\], the adapter of module' adapt merge other.safetensors --adapter lora -o x
[[ ! -e x && ! -e x.unfinished && ! -e r.unfinished ]] || fail "a refused run left something"
cp -r lora nan
printf '\x00\x00\xc0\x7f' | dd of=nan/adapter_model.safetensors bs=1 seek=$(($(stat -c %s nan/adapter_model.safetensors) - 4)) conv=notrunc status=none
refuse 1 'holds NaN or infinity' adapt merge base.safetensors --adapter nan -o x
rm -rf x.unfinished # of the weights before it
# A folder that holds something else is not taken for unfinished work.
mkdir x.unfinished && touch x.unfinished/mine
refuse 1 'it holds mine' adapt init lora base.safetensors --target-modules proj -o x
rm -r x.unfinished

# NaN stops at the tensor, and what was done before is there to go on with after the file was mended.
weights bad.safetensors 3 24 20
cp bad.safetensors good.safetensors
printf '\xc0\x7f' | dd of=bad.safetensors bs=1 seek=$(($(stat -c %s bad.safetensors) - 16 - 24 * 20 * 2)) conv=notrunc status=none
refuse 1 "'layers.02.proj.weight': .*NaN or infinity" adapt init pissa bad.safetensors --target-modules proj --residual r -o x
[[ ! -e x && ! -e r && -e x.unfinished/journal ]] || fail "after NaN"
cp good.safetensors bad.safetensors
touch -d '2001-01-01' bad.safetensors
run 0 adapt init pissa bad.safetensors --target-modules proj --residual r -o x --quiet # another input: from the beginning
[[ ! -e x.unfinished && ! -e r.unfinished ]] || fail "left work behind"

# Results too large for their type: infinite with a note, an error that names the first, or the largest of the type.
run 0 adapt init pissa base.safetensors --target-modules proj --rank 2 --residual wide-base.safetensors -o wide --quiet
for what in adapter checkpoint; do
    large=(adapt combine wide --weights 1e30 --adapter-dtype F16) first="lora_A.weight' of type F16, element"
    [[ $what == adapter ]] || large=(adapt merge wide-base.safetensors --adapter wide --weights 1e39) first="proj.weight' of type BF16, element"
    for overflow in infinity saturate; do
        to=large-$what-$overflow.safetensors weights=large-$what-$overflow.safetensors
        [[ $what == checkpoint ]] || to=large-$overflow weights=large-$overflow/adapter_model.safetensors
        run 0 "${large[@]}" --overflow $overflow -o "$to" --json
        [[ $err == *"lathe: note: "*" infinite"*"$first"* ]] || fail "$what, $overflow: no note: $err"
        [[ $out =~ \"infinite_elements\":\ [1-9] ]] || fail "$what, $overflow: $out"
        if [[ $overflow == saturate ]]; then
            run 0 merge average "$weights" -o finite.safetensors --overflow error --quiet
        else
            refuse 1 'infinite' merge average "$weights" -o finite.safetensors --overflow error --quiet
        fi
    done
    refuse 1 "$first [0-9]+: the result is infinite" "${large[@]}" --overflow error -o never.safetensors
    [[ ! -e never.safetensors ]] || fail "$what: written"
    rm -rf never.safetensors.unfinished
done
# Of what an earlier run wrote too, and only of what is changed: an infinity that is copied is no result.
printf '\x80\x7f' | dd of=wide-base.safetensors bs=1 seek=$(($(stat -c %s wide-base.safetensors) - 2)) conv=notrunc status=none # of norm.weight
run 0 adapt merge wide-base.safetensors --adapter wide -o copied.safetensors --overflow error
[[ -z $err && $(tail -c 2 copied.safetensors | od -An -tx1) == ' 80 7f' ]] || fail "a tensor that is copied: $err"
