#!/usr/bin/env bash
# minilm and lathe worfeval --embedder minilm: tokens and embeddings of tests/data/minilm, recorded from the Python model.
# The model is looked for in $LATHE_MINILM, where fetch_minilm.sh would put it, and in ~/.cache; else it is fetched.
source "$(dirname "$0")/common.sh"
minilm=${LATHE_PROGRAM%/*}/minilm
data=$LATHE_TEST_DATA/minilm
fetch=$LATHE_TEST_DATA/../../examples/fetch_minilm.sh
cache=${XDG_CACHE_HOME:-$HOME/.cache}

# Without the model: one line that says what to do, and the other embedders as ever.
cat >gold.json <<'END'
[{"conversations": [{"content": "Node:\n1: put the vegetables into the fridge\n2: serve dinner\nEdge: (START,1) (1,2) (2,END)"}]}]
END
cat >predicted.json <<'END'
[{"workflow": "Node:\n1: store greens in a refrigerator\n2: serve dinner\nEdge: (START,1) (1,2) (2,END)"}]
END
score=(worfeval --gold gold.json --predicted predicted.json)
mkdir empty
refuse 1 'empty: no model.safetensors; examples/fetch_minilm.sh' "${score[@]}" --embedder minilm --model empty
refuse 2 '--model: found with --embedder hashing' "${score[@]}" --embedder hashing --model empty
refuse 2 '--embedder: found minilm, expected file' "${score[@]}" --embedder minilm --strings strings.json
run 0 "${score[@]}" --embedder hashing --conformance strict --json
[[ $out == *'"matched": 1'* ]] || fail "hashing takes a fridge for a refrigerator: $out"

model=
for folder in "${LATHE_MINILM:-}" "$cache/lathe/minilm" "$HOME/.cache/lathe/minilm"; do
    [[ -z $model && -n $folder && -f $folder/model.safetensors && -f $folder/vocab.txt ]] && model=$folder
done
if [[ -z $model ]]; then
    model=$cache/lathe/minilm
    if ! timeout 200 "$fetch" "$model" >fetched.txt 2>&1; then
        echo "SKIPPED: all-MiniLM-L6-v2 is not installed and cannot be fetched: $(tail -n 1 fetched.txt)"
        exit 0
    fi
fi
[[ $("$fetch" "$model") == *"is installed" ]] || fail "fetched again, or damaged: $model"

# The tokens are the same numbers; the embeddings are as near as those of float can be (the promise is 1 - 1e-4).
"$minilm" --model "$model" --strings "$data/sentences.json" --tokens >tokens.txt
same tokens.txt "$data/tokens.txt"
"$minilm" --model "$model" --strings "$data/sentences.json" -o all.safetensors
said=$("$minilm" --model "$model" --strings "$data/sentences.json" --threads 1 --against "$data/embeddings.safetensors")
[[ $said =~ ^[0-9]+\ sentences,\ least\ cosine\ (1\.0|0\.99999) ]] || fail "against Python: $said"
said=$("$minilm" --model "$model" --strings "$data/sentences.json" --threads 2 --against all.safetensors)
[[ $said == *"least cosine 1.0000000"* ]] || fail "against itself: $said"

# Lines in, cosines out: the first two mean the same.
printf '%s\n' 'a refrigerator keeps food cold' 'the fridge holds food at a low temperature' 'a comet crossed the sky' >lines.txt
said=$("$minilm" --model "$model" <lines.txt)
[[ $said =~ ^1\.0000\ 0\.[6-9] && $(wc -l <<<"$said") == 3 ]] || fail "cosines: $said"
"$minilm" --model "$model" -o lines.safetensors <lines.txt
said=$(tac lines.txt | "$minilm" --model "$model" --against lines.safetensors)
[[ $said =~ least\ cosine\ (-|0\.[0-4]) ]] || fail "a difference that was not seen: $said"

# Embeddings on the fly score as those from a file.
run 0 "${score[@]}" --embedder minilm --model "$model" --conformance strict --json --no-provenance
[[ $out == *'"matched": 2'* && $out == *'"embedder": "minilm"'* ]] || fail "worfeval: $out"
grep -v '"embedder"' out.txt >minilm.json
echo '["START", "END", "store greens in a refrigerator", "serve dinner", "put the vegetables into the fridge"]' >strings.json
"$minilm" --model "$model" --strings strings.json -o nodes.safetensors
run 0 "${score[@]}" --embeddings nodes.safetensors --strings strings.json --conformance strict --json --no-provenance
grep -v '"embedder"' out.txt >file.json
same minilm.json file.json
