#!/usr/bin/env bash
# Ctrl-C stops a merge, as does whatever else ends it early, and nothing is left behind.
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
# begin: starts a merge; leaves its number in $child when it is writing.
begin() {
    "$LATHE_PROGRAM" merge average a.safetensors b.safetensors a.safetensors b.safetensors -o out/made/x.safetensors --threads 1 2>err.txt &
    child=$!
    for _ in $(seq 1000); do
        compgen -G 'out/made/.lathe-*' >/dev/null && return
        sleep 0.005
    done
    fail "the merge did not begin: $(<err.txt)"
}
# ends STATUS MESSAGE: waits for it.
ends() {
    local status=0
    wait "$child" || status=$?
    [[ $status == "$1" ]] || fail "exit status $status: $(<err.txt)"
    [[ $(<err.txt) == "lathe: error: $2" ]] || fail "$(<err.txt)"
}
for signal in INT TERM HUP; do
    begin
    kill -$signal "$child"
    ends 130 'interrupted; nothing was written'
    [[ -z $(ls -A out) ]] || fail "left behind: $(ls -AR out)"
done

# An input that is shortened while it is read.
begin
truncate -s 1000 b.safetensors
ends 1 "$PWD/b.safetensors cannot be read any more (was it shortened, or is its disk failing?); nothing was written"
[[ -z $(ls -A out/made) ]] || fail "left behind: $(ls -AR out)"
