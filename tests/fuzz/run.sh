#!/usr/bin/env bash
# Runs a fuzz target on its corpus and its dictionary, then on mutants for a while: run.sh PROGRAM [ARGUMENTS...]
#   LATHE_FUZZ_SECONDS   how long, 60 unless set
#   LATHE_FUZZ_SEED      of the mutations; 1 unless set, so that a run repeats the one before as far as it gets; 0: another each time
#   LATHE_FUZZ_CORPUS    a folder that new inputs are kept in and read from the next time; none unless set
# An input that breaks a promise stays beside the program, as crash-..., timeout-... or oom-...
set -euo pipefail
program=$(realpath "$1")
shift
here=$(dirname "$(realpath "$0")")
name=$(basename "$program" _fuzz)
seconds=${LATHE_FUZZ_SECONDS:-60}
corpus=("$here/corpus/$name")
if [ -n "${LATHE_FUZZ_CORPUS:-}" ]; then # the first is the one that libFuzzer writes to
    mkdir -p "$LATHE_FUZZ_CORPUS/$name"
    corpus=("$LATHE_FUZZ_CORPUS/$name" "${corpus[@]}")
fi
scratch=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")")
trap 'rm -rf "$scratch"' EXIT
if [ "${#corpus[@]}" = 1 ]; then
    mkdir "$scratch/corpus"
    corpus=("$scratch/corpus" "${corpus[@]}")
fi
options=(-max_total_time="$seconds" -seed="${LATHE_FUZZ_SEED:-1}" -max_len=4096 -timeout=25 -rss_limit_mb=1024 -malloc_limit_mb=64
    -artifact_prefix="$(dirname "$program")/" -print_final_stats=1)
if [ -f "$here/dictionary/$name.dict" ]; then
    options+=(-dict="$here/dictionary/$name.dict")
fi
TIMEFORMAT='%R s, of a processor %U s and of the system %S s'
time TMPDIR=$scratch timeout $((seconds + 180)) "$program" "${options[@]}" "$@" "${corpus[@]}" > "$scratch/log" 2>&1 || {
    status=$?
    tail -n 60 "$scratch/log"
    exit $status
}
grep -E '^#[0-9]+.*DONE|^stat::(number_of_executed_units|average_exec_per_sec|peak_rss_mb)' "$scratch/log"
