#!/usr/bin/env bash
# lathe adapt, killed at any time and run again: it goes on, and ends with the bytes of a run that was left alone; until then
# nothing has the name of a result. Changed options or inputs begin anew.
source "$(dirname "$0")/common.sh"
weights base.safetensors 24 192 160
command=(adapt init milora base.safetensors --target-modules proj --rank 8 --seed 1 --threads 1)

begun=$(date +%s%3N)
run 0 "${command[@]}" --residual whole-base.safetensors -o whole
took=$(($(date +%s%3N) - begun)) # milliseconds
whole_results() { [[ -e out || -e out-base.safetensors ]]; }

# Runs are killed after some part of the time that it takes, until one is done first.
kills=0 continued=0
for round in $(seq 200); do
    [[ $round != 200 ]] || fail "never done"
    "$LATHE_PROGRAM" "${command[@]}" --residual out-base.safetensors -o out >out.txt 2>err.txt &
    child=$!
    delay=$((20 + RANDOM % (took / 6 + 60)))
    sleep "$(printf '%d.%03d' $((delay / 1000)) $((delay % 1000)))"
    kill -KILL "$child" 2>/dev/null || true
    status=0
    wait "$child" 2>/dev/null || status=$?
    grep -q 'going on in' err.txt && continued=$((continued + 1))
    if [[ $status == 0 ]]; then
        break
    fi
    [[ $status == 137 ]] || fail "exit status $status: $(<err.txt)"
    kills=$((kills + 1))
    # The base appears before the adapter, and the adapter's configuration last.
    [[ ! -e out/adapter_config.json || -e out/adapter_model.safetensors ]] || fail "half an adapter"
    [[ ! -e out/adapter_model.safetensors || -e out-base.safetensors ]] || fail "an adapter without its base"
done
same out/adapter_model.safetensors whole/adapter_model.safetensors
same out-base.safetensors whole-base.safetensors
[[ ! -e out.unfinished && ! -e out-base.safetensors.unfinished ]] || fail "left work behind"
[[ -z $(find . -name '.lathe-*') ]] || fail "left behind: $(find . -name '.lathe-*')"
echo "killed $kills times, $continued runs went on from an earlier one"
rm -r out out-base.safetensors

# interrupted UNTIL: a run that is interrupted when that many weights are done.
interrupted() {
    "$LATHE_PROGRAM" "${command[@]}" --residual out-base.safetensors -o out 2>err.txt >out.txt &
    child=$!
    for _ in $(seq 4000); do
        [[ -e out.unfinished/journal && $(wc -l <out.unfinished/journal) -gt $1 ]] && break
        sleep 0.002
    done
    kill -INT "$child"
    local status=0
    wait "$child" || status=$?
    [[ $status == 130 && $(<err.txt) == *'interrupted; the same command goes on where this one stopped' ]] || fail "$status: $(<err.txt)"
}
interrupted 3
whole_results && fail "an interrupted run left results"
run 0 "${command[@]}" --residual out-base.safetensors -o out --json
resumed=$(grep -o '"resumed": [0-9]*' <<<"$out" | cut -d' ' -f2)
[[ $resumed -ge 3 && $err == *"going on in out.unfinished"* ]] || fail "resumed $resumed: $err"
[[ $(grep -c '"module"' <<<"$out") == 24 ]] || fail "the report lacks weights that an earlier run did"
same out-base.safetensors whole-base.safetensors
same out/adapter_model.safetensors whole/adapter_model.safetensors
rm -r out out-base.safetensors

interrupted 2 # then with another option, another input, or told so: from the beginning
run 0 "${command[@]}" --residual out-base.safetensors -o out --alpha 3 --json
[[ $out == *'"resumed": 0'* && $err != *"going on"* ]] || fail "another option: $err"
rm -r out out-base.safetensors
interrupted 2
touch -d '2001-01-01' base.safetensors
run 0 "${command[@]}" --residual out-base.safetensors -o out --json
[[ $out == *'"resumed": 0'* ]] || fail "another input"
rm -r out out-base.safetensors
interrupted 2
run 0 "${command[@]}" --residual out-base.safetensors -o out --json --restart
[[ $out == *'"resumed": 0'* ]] || fail "--restart"
rm -r out out-base.safetensors

# A journal whose last line is torn, and one whose files are gone.
interrupted 4
truncate -s -5 out.unfinished/journal
run 0 "${command[@]}" --residual out-base.safetensors -o out --json
[[ $out != *'"resumed": 0'* ]] || fail "torn"
same out-base.safetensors whole-base.safetensors
rm -r out out-base.safetensors
interrupted 4
rm -r out-base.safetensors.unfinished
run 0 "${command[@]}" --residual out-base.safetensors -o out --quiet
same out-base.safetensors whole-base.safetensors
same out/adapter_model.safetensors whole/adapter_model.safetensors

# One run at a time.
rm -r out out-base.safetensors
"$LATHE_PROGRAM" "${command[@]}" --residual out-base.safetensors -o out >out.txt 2>err.txt &
child=$!
for _ in $(seq 4000); do
    [[ -s out.unfinished/journal ]] && break
    sleep 0.002
done
refuse 1 'another run is at work' "${command[@]}" --residual out-base.safetensors -o out
wait "$child"
same out-base.safetensors whole-base.safetensors

# Merging goes on, too.
run 0 adapt merge out-base.safetensors --adapter out -o whole.safetensors
for round in $(seq 60); do
    [[ $round != 60 ]] || fail "never merged"
    "$LATHE_PROGRAM" adapt merge out-base.safetensors --adapter out -o merged.safetensors >out.txt 2>err.txt &
    child=$!
    sleep "0.0$((RANDOM % 90 + 10))"
    kill -KILL "$child" 2>/dev/null || true
    status=0
    wait "$child" 2>/dev/null || status=$?
    [[ $status != 0 ]] || break
    [[ ! -e merged.safetensors ]] || { same merged.safetensors whole.safetensors; break; }
done
run 0 adapt merge out-base.safetensors --adapter out -o merged.safetensors
same merged.safetensors whole.safetensors

# Memory: a weight and what it takes to decompose it, however many there are.
peak() { # of a run over COUNT weights of 1 MiB each, in kB
    local child most=0 now
    weights peak.safetensors "$1" 1024 512
    "$LATHE_PROGRAM" adapt init pissa-fast peak.safetensors --target-modules proj --residual peak-base -o peak --threads 1 --quiet &
    child=$!
    while now=$(awk '/VmHWM/ {print $2}' /proc/$child/status 2>/dev/null) && [[ -n $now ]]; do
        most=$now
        sleep 0.01
    done
    wait "$child"
    echo "$most"
}
few=$(peak 8) all=$(peak 64)
if grep -q __asan_init "$LATHE_PROGRAM"; then # it keeps what is freed for a while
    all=$few
fi
[[ $few -gt 2000 && $all -lt $((few + 16384)) ]] || fail "64 weights took $all kB, 8 of the same size $few kB"
