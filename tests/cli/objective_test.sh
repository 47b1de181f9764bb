#!/usr/bin/env bash
# Methods that minimise: distances, commands, and commands that go wrong.
source "$(dirname "$0")/common.sh"
d=$data/data_core
models=("$d"/m{0,1,2,3}.safetensors)

run 0 merge frank_wolfe "${models[@]}" --target "$d/qtarget.safetensors" --method pairwise --step exact -o a.safetensors --json
[[ $out == *'"status": "converged"'* && $out == *'"weights"'* ]] || fail "frank_wolfe: $out"
run 0 merge frank_wolfe "${models[@]}" --objective quadratic --target "$d/qtarget.safetensors" --no-products -o b.safetensors --iters 5 --step open
run 0 merge fw_merging --base "$d/base.safetensors" --target "$d/qtarget.safetensors" "${models[@]}" -o c.safetensors
run 0 merge fw-merging-soft --base "$d/base.safetensors" --target "$d/qtarget.safetensors" --target "$d/target.safetensors" "${models[@]}" -o c.safetensors
run 0 merge adamerging --base "$d/base.safetensors" --target "$d/qtarget.safetensors" --steps 5 "${models[@]}" -o c.safetensors
run 0 merge kinship_search --base "$d/base.safetensors" --target "$d/qtarget.safetensors" "${models[@]}" -o c.safetensors

# f = |x|^2 / 2 has the gradient x; its value does not matter to open steps.
square='cp {params} {gradient} && echo "{\"loss\": 1}" >{loss}'
run 0 merge frank_wolfe "${models[@]}" --objective-command "$square" --step open --iters 3 -o d.safetensors --json
[[ $out == *'"iterations": 3'* && $out == *'"objective": 1.0'* ]] || fail "a command: $out"
run 0 merge kinship_search --base "$d/base.safetensors" --objective-command 'test -e {params} && echo "{\"loss\": 1}" >{loss}' "${models[@]:0:2}" -o e.safetensors

refuse 1 'status 3; its last words: no luck' merge frank_wolfe "${models[@]}" --objective-command 'test -e {params}; echo no luck; exit 3' -o x.safetensors
refuse 1 'longer than 0.2' merge frank_wolfe "${models[@]}" --objective-command 'sleep 60; cat {params}' --timeout 0.2 -o x.safetensors
refuse 1 'did not write' merge frank_wolfe "${models[@]}" --objective-command 'test -e {params}' -o x.safetensors
refuse 2 'no target and no command, expected what to minimise' merge frank_wolfe "${models[@]}" -o x.safetensors
refuse 2 'a target and a command' merge frank_wolfe "${models[@]}" --target "$d/qtarget.safetensors" --objective-command "$square" -o x.safetensors
refuse 2 'a target and no command, expected what to minimise: a command' merge frank_wolfe "${models[@]}" --objective command --target "$d/qtarget.safetensors" -o x.safetensors
refuse 2 'found 2, expected one' merge frank_wolfe "${models[@]}" --target "$d/qtarget.safetensors" --target "$d/qtarget.safetensors" -o x.safetensors
refuse 2 'start: found 9' merge frank_wolfe "${models[@]}" --target "$d/qtarget.safetensors" --start 9 -o x.safetensors

# Ctrl-C reaches what the command started.
"$LATHE_PROGRAM" merge frank_wolfe "${models[@]}" --objective-command 'echo $$ >'"$work"'/pid; sleep 100; cat {params}' -o x.safetensors 2>err.txt &
child=$!
for _ in $(seq 1000); do
    [[ -s pid ]] && break
    sleep 0.01
done
kill -INT "$child"
status=0
wait "$child" || status=$?
[[ $status == 130 && $(<err.txt) == 'lathe: error: interrupted; nothing was written' ]] || fail "$status: $(<err.txt)"
! kill -0 "$(<pid)" 2>/dev/null || fail "the command still runs"
[[ ! -e x.safetensors ]] || fail "x.safetensors was written"
