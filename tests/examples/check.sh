#!/usr/bin/env bash
# The examples of one file, examples/short/*.cpp and examples/objective_torch.py: each is shorter than 80 lines, is compiled
# by the very command in its first comment, run on files of tests/data, and what it says and writes is looked at.
#   check.sh         all, as many at a time as there are processors
#   check.sh NAME    one
source "$(dirname "$0")/../support/tree.sh"
data=$root/tests/data
models=("$data"/merge/data_f32/{base,m0,m1}.safetensors)
lathe=$build/examples/lathe
python=${LATHE_PYTHON:-$root/build/python/bin/python}

fail() { echo "FAIL $name: $*" && exit 1; }
# run STATUS COMMAND...: leaves what it prints in $out, standard error included.
run() {
    local expected=$1 status=0
    shift
    out=$("$@" 2>&1 </dev/null) || status=$?
    [ "$status" = "$expected" ] || fail "$*: exit status $status, expected $expected: $out"
}
says() { # says TEXT...: all of them
    local text
    for text in "$@"; do
        [[ $out == *"$text"* ]] || fail "'$text' is not in: $out"
    done
}
same() { cmp "$1" "$2" || fail "$1 and $2 differ"; }
english() { sed -n '1,120 s/^"\(.*\)",$/\1/p' "$data/minilm/sentences.json"; }

merge() {
    run 0 ./merge merged.safetensors "${models[@]}"
    says "m1.safetensors: 40.0 % of its changes kept" "merged.safetensors: 15 tensors"
    if [ -x "$lathe" ]; then
        "$lathe" merge ties --base "${models[@]}" --density 0.4 --no-provenance --quiet -o expected.safetensors
        same merged.safetensors expected.safetensors
    fi
    head -c 3000 "${models[1]}" >cut.safetensors
    run 1 ./merge x.safetensors "${models[0]}" cut.safetensors
    says "merge: cut.safetensors: "
    run 1 ./merge x.safetensors "${models[0]}" "$data/merge/data_missing/m2.safetensors"
    says "merge: these are no models of one base: " "'emb.weight' has shape [12, 8], expected [13, 8]"
    run 2 ./merge
    [ ! -e x.safetensors ] || fail "x.safetensors was written"
}
gpu_merge() {
    run 0 ./gpu_merge any merged.safetensors "${models[@]}"
    says "on " "elements at a time" "merged.safetensors: 600 parameters"
    run 0 env OCL_ICD_VENDORS=/nonexistent ./gpu_merge any by_processor.safetensors "${models[@]}"
    says "there is no platform" "on the processor"
    same merged.safetensors by_processor.safetensors
    run 1 ./gpu_merge abacus x.safetensors "${models[@]}"
    says "found abacus, expected an index or a part of a name of: 0 "
    [ ! -e x.safetensors ] || fail "x.safetensors was written"
}
kasa() {
    run 0 ./kasa "${models[0]}" adapter 3 attn mlp
    says "layers.1.mlp: 16 x 8, 5 of 8 triplets stay" "adapter: 4 weights"
    if [ -x "$lathe" ]; then
        run 0 "$lathe" adapt inspect adapter
        says "LORA (KaSA), 4 modules, 252 parameters"
        "$lathe" adapt init kasa "${models[0]}" --target-modules attn,mlp --rank 3 --alpha 16 --quiet -o expected
        "$python" - <<'END' || fail "the adapter is not that of lathe adapt init"
import json, numpy, safetensors.numpy as st
a, b = (st.load_file(f"{f}/adapter_model.safetensors") for f in ("adapter", "expected"))
assert a.keys() == b.keys() and all(numpy.array_equal(a[k], b[k]) for k in a), (sorted(a), sorted(b))
a, b = (json.load(open(f"{f}/adapter_config.json")) for f in ("adapter", "expected"))
assert all(a[k] == b[k] for k in ("r", "lora_alpha", "target_modules", "kasa_config")), (a, b)
END
    fi
    run 1 ./kasa "${models[0]}" x 8 attn
    says "r: found 8, expected a number from 1 to 7"
    run 1 ./kasa "${models[0]}" x 3 q_proj
    says "MODULE: found none in the checkpoint"
    [ ! -e x ] || fail "x was written"
}
workflows() {
    echo '{"nodes": ["boil the water", "warm the pot", "pour the water on the leaves", "serve the tea"],
        "edges": [[0, 1], [1, 2], [2, 3]]}' >gold.json
    printf 'Node:\n1: warm the pot\n2: boil the water\n3: pour the water on the leaves\n4: find a spoon\n' >predicted.txt
    printf 'Edge: (START,1) (1,2) (2,3) (3,4) (4,END)\n' >>predicted.txt
    run 0 ./workflows gold.json predicted.txt
    says "chain: precision 0.500, recall 0.500, F1 0.500" "graph: precision 0.250" "missing: serve the tea" \
        "not asked for: find a spoon" "too early: warm the pot, before boil the water"
    run 0 ./workflows gold.json gold.json
    [ "$out" = "$(printf '%s: precision 1.000, recall 1.000, F1 1.000\n' chain graph)" ] || fail "of itself: $out"
    run 1 ./workflows gold.json nowhere.json
    says "workflows: nowhere.json: cannot open"
    echo '{"nodes": ["a", "b"], "edges": [[0, 1], [1, 0]]}' >cyclic.json
    run 1 ./workflows cyclic.json predicted.txt
    says "cyclic.json: cannot be scored: gold_cyclic"
}
watermark_tokens() {
    english >text.txt
    run 0 ./watermark_tokens text.txt
    [[ $out =~ without:\ z\ -?[0-2]\..*,\ not\ marked.*with:\ z\ [0-9.]+,\ p\ [0-9.]+e-[1-9][0-9],\ marked ]] || fail "$out"
    run 1 ./watermark_tokens nowhere.txt
    says "vocabulary: found 0"
}
watermark_sentences() {
    english >text.txt
    run 0 ./watermark_sentences text.txt
    [[ $out =~ "30 of 30 sentences where the key wants them, p "[0-9.]+e-1[0-9],\ marked.*,\ not\ marked ]] || fail "$out"
    run 1 ./watermark_sentences nowhere.txt
    says "text: found no words"
}
# In torch as in numpy; and two experts merged by it, to a loss below that of either.
objective_torch() {
    local torch numpy=$python packages
    [ -x "$numpy" ] || { echo "SKIPPED objective_torch: there is no $numpy; tests/run.sh makes it" && return; }
    # Debian's torch is the system's; safetensors are in our environment, for the same Python.
    packages=$("$numpy" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    for torch in "$numpy" /usr/bin/python3; do
        PYTHONPATH=$packages "$torch" -c 'import torch, safetensors.torch' 2>/dev/null && break
        torch=
    done
    [ -n "$torch" ] || { echo "SKIPPED objective_torch: neither $numpy nor /usr/bin/python3 can import torch" && return; }
    [ -x "$lathe" ] || { echo "SKIPPED objective_torch: there is no $lathe" && return; }
    export PYTHONPATH=$packages OMP_NUM_THREADS=1
    "$numpy" - <<'END' || fail "experts"
import numpy as np, safetensors.numpy as st
r = np.random.default_rng(1)
shapes = {"hidden.weight": (16, 64), "hidden.bias": (16,), "output.weight": (10, 16), "output.bias": (10,)}
for n in range(2):
    st.save_file({k: r.normal(0, 0.3, s).astype(np.float32) for k, s in shapes.items()}, f"expert{n}.safetensors")
END
    for n in 0 1; do
        "$torch" "$root/examples/objective_torch.py" expert$n.safetensors torch$n.safetensors torch$n.json --first 1000 --rows 300
        "$numpy" "$root/examples/objective_numpy.py" expert$n.safetensors numpy$n.safetensors numpy$n.json --first 1000 --rows 300
    done
    "$lathe" merge frank_wolfe expert0.safetensors expert1.safetensors -o merged.safetensors --step open --iters 2 --json \
        --objective-command "'$torch' '$root/examples/objective_torch.py' {params} {gradient} {loss} --first 1000 --rows 300" \
        >merged.json || fail "frank_wolfe"
    "$numpy" - <<'END' || fail "the losses"
import json, numpy as np, safetensors.numpy as st
losses = []
for n in range(2):
    a, b = (st.load_file(f"{k}{n}.safetensors") for k in ("torch", "numpy"))
    assert a.keys() == b.keys() and len(a) == 4
    for k in a:
        assert np.abs(b[k]).max() > 1e-3 and np.allclose(a[k], b[k], rtol=1e-4, atol=1e-6), (n, k)
    x, y = (json.load(open(f"{k}{n}.json"))["loss"] for k in ("torch", "numpy"))
    assert abs(x - y) < 1e-5 * y, (n, x, y)
    losses.append(x)
objective = json.load(open("merged.json"))["result"]["objective"]
assert objective < min(losses), (objective, losses)
END
}

if [ $# = 0 ]; then
    rm -rf "$work" && mkdir -p "$work"
    names=$(cd examples/short && ls -- *.cpp | sed 's/\.cpp$//')
    wc -l examples/own_{backend,method}/*.[ch]pp | awk '$2 != "total" && $1 >= 80 { print "FAIL " $2 ": " $1 " lines"; bad = 1 } END { exit bad }'
    printf '%s\n' $names objective_torch | jobs_of || exit 1
    echo "examples: all that they say is so"
    exit
fi

name=$1
source=$root/examples/short/$name.cpp
[ "$name" != objective_torch ] || source=$root/examples/objective_torch.py
declare -F "$name" >/dev/null || fail "no test of it in $0"
[ "$(wc -l <"$source")" -lt 80 ] || fail "$(wc -l <"$source") lines, expected less than 80"
mkdir -p "$work/$name"
started=$SECONDS
if [ "$name" != objective_torch ]; then
    if grep -q '/opencl.hpp>' "$source" && [[ " ${LATHE_BACKENDS:-opencl} " != *" opencl "* ]]; then
        echo "SKIPPED $name: this build is without OpenCL" && exit
    fi
    command=$(awk '/^   g\+\+ / { on = 1 } on { print } on && !/\\$/ { exit }' "$source")
    [ -n "$command" ] || fail "no command of g++ in its comment"
    # The command as it stands, but for where the program goes; warnings are errors to us.
    output="-o '$work/$name/$name'"
    [[ $command == *"-o $name"* ]] || fail "it makes no $name: $command"
    bash -euc "${command/-o $name/$output} ${warnings[*]} -isystem ${LATHE_EIGEN_INCLUDE:-/usr/include/eigen3}" || fail "$command"
fi
compiled=$((SECONDS - started))
cd "$work/$name"
"$name"
echo "examples: $name, $compiled s to compile, $((SECONDS - started - compiled)) s to run"
