#!/usr/bin/env bash
# Ctrl-C stops a merge, and nothing is left behind.
source "$(dirname "$0")/common.sh"

# A file of zeros that takes no room on the disk: {"a": F32[bytes / 4]}.
zeros() {
    local bytes=$((1 << 28)) header
    header='{"a":{"dtype":"F32","shape":['$((bytes / 4))'],"data_offsets":[0,'$bytes']}}'
    printf -v header '%-88s' "$header"
    printf '\x58\0\0\0\0\0\0\0%s' "$header" >"$1"
    truncate -s $((8 + 88 + bytes)) "$1"
}
zeros a.safetensors
zeros b.safetensors
mkdir out
"$LATHE_PROGRAM" merge average a.safetensors b.safetensors a.safetensors b.safetensors -o out/made/x.safetensors --threads 1 2>err.txt &
child=$!
for _ in $(seq 1000); do
    compgen -G 'out/made/.lathe-*' >/dev/null && break
    sleep 0.005
done
compgen -G 'out/made/.lathe-*' >/dev/null || fail "the merge did not begin: $(<err.txt)"
kill -INT "$child"
status=0
wait "$child" || status=$?
[[ $status == 130 ]] || fail "exit status $status: $(<err.txt)"
[[ $(<err.txt) == 'lathe: error: interrupted; nothing was written' ]] || fail "$(<err.txt)"
[[ -z $(ls -A out) ]] || fail "left behind: $(ls -AR out)"
