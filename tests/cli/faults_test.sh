#!/usr/bin/env bash
# What can go wrong around the program: disks that are full, folders that cannot be written, runs that are killed, memory that
# is short, programs that misbehave, devices that are missing. After each the old file or the new one is there whole, nothing
# is left that is not named, the exit status is not 0, and the message says why.
source "$(dirname "$0")/common.sh"
m0=$data/data_f32/m0.safetensors m1=$data/data_f32/m1.safetensors
points=$LATHE_TEST_DATA/watermark/fcm_blobs/X.npy
skip() { echo "SKIPPED: $*" >&2; }
hash() { sha256sum <"$1"; }
nothing_left() { # in the folders
    local found
    found=$(find "$@" -name '.lathe-*' -o -name '*.unfinished')
    [[ -z $found ]] || fail "left behind: $found"
}
# A tall checkpoint of zeros or ones (F32) that takes room on the disk only for ones.
plain() { # FILE MEBIBYTES
    local bytes=$(($2 << 20)) header
    header='{"a":{"dtype":"F32","shape":['$((bytes / 4))'],"data_offsets":[0,'$bytes']}}'
    printf -v header '%-88s' "$header"
    printf '\x58\0\0\0\0\0\0\0%s' "$header" >"$1"
    truncate -s $((8 + 88 + bytes)) "$1"
}

# ---- The disk is full ------------------------------------------------------------------------------------------------
plain large.safetensors 8
weights base.safetensors 4 192 160
run 0 adapt init milora base.safetensors --target-modules proj --rank 4 --threads 1 --residual lora-base.safetensors -o lora --quiet
mkdir model && cp "$m0" model/model.safetensors && head -c 6000000 /dev/zero | tr '\0' x >model/tokenizer.json
cp model/tokenizer.json model/vocab.json && echo '{"a": 1}' >model/config.json
full_disk() { # PATTERN FOLDER
    local limit=$1 on=$2
    mkdir -p "$on"
    cp "$m1" "$on/x.safetensors"
    refuse 1 "reserve [0-9]+ bytes: $limit" merge average large.safetensors -o "$on/x.safetensors"
    same "$on/x.safetensors" "$m1"
    nothing_left "$on"
    # The weights fit, what belongs beside them does not: that is said, and none of it is there by half.
    refuse 1 "write: $limit; the weights in .* are complete, but not all files" merge average model -o "$on/merged"
    same "$on/merged/model.safetensors" "$on/whole.safetensors"
    [[ $(ls -A "$on/merged") == model.safetensors ]] || fail "side files by half: $(ls -A "$on/merged")"
}
run 0 merge average model -o whole --no-copy-side-files --quiet
if [[ $(id -u) == 0 ]] && mkdir small && mount -t tmpfs -o size=7m tmpfs small 2>/dev/null; then
    trap 'umount "$work/small"; rm -rf "$work"' EXIT
    cp whole/model.safetensors small/whole.safetensors
    full_disk 'No space left on device' small
    rm -r small/merged
    # Other commands: the file they would replace stays.
    head -c 100000000 /dev/zero >small/filler 2>/dev/null || true
    echo old 2>/dev/null >small/c.npy || true
    for file in c.npy u.npy lora; do
        [[ ! -e small/$file ]] || cp small/$file kept.npy
    done
    refuse 1 'No space left on device' cluster fit "$points" --clusters 3 --fuzzifier 2 -o small/c.npy
    [[ ! -e kept.npy ]] || same small/c.npy kept.npy
    refuse 1 'No space left on device' adapt init lora base.safetensors --target-modules proj --rank 4 -o small/lora
    [[ ! -e small/lora/adapter_config.json ]] || fail "half an adapter"
    refuse 1 'No space left on device' adapt merge lora-base.safetensors --adapter lora -o small/merged.safetensors
    [[ ! -e small/merged.safetensors ]] || fail "merged on a full disk"
    rm small/filler
    run 0 adapt merge lora-base.safetensors --adapter lora -o small/merged.safetensors --quiet
    nothing_left small
else
    skip "a full disk: needs root, for a small tmpfs"
fi
# A limit on the size of files is much like a full disk, and needs nobody's permission.
(
    ulimit -f 4096 # KiB
    cp "$m1" limited.safetensors
    refuse 1 'File too large' merge average large.safetensors -o limited.safetensors
)
same limited.safetensors "$m1"
printf 'One is here. Two is there. Three is it.\n%.0s' $(seq 64) >documents.txt
(
    ulimit -f 1
    echo old >mark.safetensors
    cp mark.safetensors mark.kept
    refuse 1 'File too large' watermark calibrate documents.txt -o mark.safetensors --quiet
    same mark.safetensors mark.kept
)
nothing_left .

# ---- Places that cannot be written, inputs that cannot be read -------------------------------------------------------------
mkdir folder.npy
mkfifo pipe.safetensors
refuse 1 'folder.npy.*directory' cluster fit "$points" --clusters 3 --fuzzifier 2 -o folder.npy
refuse 1 'pipe.safetensors: cannot replace: not a regular file' merge average "$m0" -o pipe.safetensors
refuse 1 'pipe.safetensors: cannot read: not a regular file' merge average pipe.safetensors -o x.safetensors
cp "$m0" mine.safetensors
refuse 2 'would replace the input' merge average mine.safetensors "$m1" -o mine.safetensors
refuse 2 'would replace|is the base|an input' adapt merge lora-base.safetensors --adapter lora -o lora-base.safetensors
same mine.safetensors "$m0"
# Root may do everything: then somebody else is asked.
unprivileged=()
if [[ $(id -u) == 0 ]]; then
    chmod 755 "$work"
    unprivileged=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    "${unprivileged[@]}" "$LATHE_PROGRAM" --version >/dev/null 2>&1 || unprivileged=(none)
fi
if [[ ${unprivileged[*]} == none ]]; then
    skip "permissions: this is root, and nobody else can run the program"
else
    mkdir locked && chmod 555 locked
    cp "$m0" secret.safetensors && chmod 000 secret.safetensors
    denied() { # PATTERN ARGUMENTS...
        local pattern=$1 status=0
        shift
        "${unprivileged[@]}" "$LATHE_PROGRAM" "$@" >out.txt 2>err.txt || status=$?
        [[ $status == 1 && $(<err.txt) =~ $pattern ]] || fail "lathe $*: $status: $(<err.txt)"
    }
    denied 'locked.*Permission denied' merge average "$m0" -o locked/x.safetensors
    denied 'locked.*Permission denied' merge average "$m0" -o locked/deeper/x.safetensors
    denied 'locked.*Permission denied' cluster fit "$points" --clusters 3 --fuzzifier 2 -o locked/c.npy
    denied 'locked.*Permission denied' adapt init lora "$work/base.safetensors" --target-modules proj -o locked/lora
    denied 'secret.safetensors: cannot open: Permission denied' merge average secret.safetensors -o /dev/null/x.safetensors
    [[ -z $(ls -A locked) ]] || fail "written to a folder that is locked"
fi

# ---- Killed at any time ----------------------------------------------------------------------------------------------------
plain old.safetensors 24
plain new.safetensors 24
printf '\1' | dd of=new.safetensors bs=1 seek=1000 conv=notrunc status=none
run 0 merge average new.safetensors -o expected.safetensors --quiet
old=$(hash old.safetensors) new=$(hash expected.safetensors)
mkdir killed && cp old.safetensors killed/x.safetensors
kills=0 left=0
for round in $(seq 25); do
    "$LATHE_PROGRAM" merge average new.safetensors -o killed/x.safetensors --threads 1 >/dev/null 2>err.txt &
    child=$!
    sleep "0.$(printf %03d $((RANDOM % 90)))"
    kill -KILL "$child" 2>/dev/null || true
    status=0
    wait "$child" 2>/dev/null || status=$?
    [[ $status == 0 || $status == 137 ]] || fail "exit status $status: $(<err.txt)"
    [[ $status == 0 ]] || kills=$((kills + 1))
    found=$(hash killed/x.safetensors)
    [[ $found == "$old" || $found == "$new" ]] || fail "neither the old file nor the new one"
    [[ $status != 0 || $found == "$new" ]] || fail "done, but the old file is there"
    # What is left is named by the next run, and is in nobody's way.
    if compgen -G 'killed/.lathe-*' >/dev/null; then
        left=$((left + 1))
        run 0 merge average "$m0" -o killed/other.safetensors
        [[ $err == *"lathe: note: killed: .lathe-"*" is left of a run that was killed; remove it"* ]] || fail "no note: $err"
        rm killed/.lathe-*
    fi
    cp old.safetensors killed/x.safetensors
done
echo "killed $kills of 25 runs, $left left a file" >&2
[[ $kills != 0 ]] || fail "no run was killed"
# adapt cleans what a killed run left when it goes on (adapt_resume_test.sh). cluster, watermark: small files, at once.
cp "$m1" c.npy
for round in $(seq 8); do
    "$LATHE_PROGRAM" cluster fit "$points" --clusters 3 --fuzzifier 2 --seed 4 -o c.npy --quiet 2>/dev/null >/dev/null &
    child=$!
    sleep "0.0$(printf %02d $((RANDOM % 40)))"
    kill -KILL "$child" 2>/dev/null || true
    wait "$child" 2>/dev/null || true
    cmp -s c.npy "$m1" || "$LATHE_PROGRAM" cluster predict "$points" --centres c.npy --fuzzifier 2 -o u.npy >/dev/null || fail "centres by half"
done
rm -f .lathe-*

# What was left is named by every command that writes to the folder; what somebody uses is not. A file is in use while it is
# locked, or while the process runs that its name has the number of, unless that one began after the file was written: numbers
# come again, and the first process of every container has the same one.
mkdir left && cd left
cp "$points" points.npy
gone=4194303 # above the largest number of a process
: >.lathe-$gone-0.tmp                             # of a process that is gone
: >.lathe-$$-1.tmp && touch -d 2001-01-01 .lathe-$$-1.tmp # of one that had the number of a process which runs
: >.lathe-$$-2.tmp                                # of a process that runs
: >.lathe-$gone-3.tmp                             # of one elsewhere, which runs
exec 9<.lathe-$gone-3.tmp && flock 9
note="lathe: note: .*: .lathe-[0-9]+-[01].tmp and 1 more like it are left of a run that was killed"
for command in "merge average $m0 -o x.safetensors" "cluster fit points.npy --clusters 3 --fuzzifier 2 -o c.npy" \
    "cluster predict points.npy --centres c.npy --fuzzifier 2 -o u.npy" \
    "watermark calibrate ../documents.txt --fuzzifier 1.02 -o mark.safetensors" \
    "watermark detect ../documents.txt --watermark mark.safetensors --html page.html"; do
    run 0 $command
    [[ $err =~ $note ]] || fail "$command: no note: $err"
    run 0 $command --quiet
    [[ -z $err ]] || fail "$command --quiet: $err"
done
exec 9<&-
run 0 merge average "$m0" -o x.safetensors
[[ $err == *"and 2 more like it"* ]] || fail "a lock that is gone: $err"
# Folders of files exchanged with a command, of a run that the command killed.
mkdir exchange
status=0
TMPDIR=$PWD/exchange "$LATHE_PROGRAM" merge frank_wolfe "$data"/data_core/m{0,1}.safetensors -o y.safetensors \
    --objective-command 'kill -KILL $PPID; cat {params}' 2>/dev/null || status=$?
[[ $status == 137 && $(ls exchange) == lathe-*-?????? ]] || fail "killed by its command: $status: $(ls exchange)"
mkdir exchange/lathe-$$-abcdef
export TMPDIR=$PWD/exchange
objective_run=(merge frank_wolfe "$data"/data_core/m{0,1}.safetensors --iters 1 --step open -o y.safetensors --objective-command
    'cp {params} {gradient} && echo "{\"loss\": 1}" >{loss}')
run 0 "${objective_run[@]}"
[[ $err =~ "lathe: note: "[^$'\n']*"/exchange: lathe-"[0-9]+-[A-Za-z0-9]+" is left of a run that was killed" ]] || fail "exchange: $err"
rm -r exchange
mkdir exchange
run 0 "${objective_run[@]}" --quiet
unset TMPDIR
[[ -z $(ls exchange) ]] || fail "left behind: $(ls exchange)"
cd ..
rm -r left

# ---- Two runs write the same file --------------------------------------------------------------------------------------------
plain one.safetensors 24
printf '\2' | dd of=one.safetensors bs=1 seek=2000 conv=notrunc status=none
run 0 merge average one.safetensors -o expected-one.safetensors --quiet
mkdir both
for round in 1 2 3; do
    "$LATHE_PROGRAM" merge average one.safetensors -o both/x.safetensors --quiet &
    first=$!
    "$LATHE_PROGRAM" merge average new.safetensors -o both/x.safetensors --quiet &
    second=$!
    wait "$first" || fail "the first of two"
    wait "$second" || fail "the second of two"
    cmp -s both/x.safetensors expected-one.safetensors || same both/x.safetensors expected.safetensors
    nothing_left both
done

# ---- Memory is short ---------------------------------------------------------------------------------------------------------
plain long.safetensors 512
short() { # KIB ARGUMENTS...
    local limit=$1
    shift
    (
        ulimit -v "$limit"
        refuse 1 'out of memory|[Cc]annot allocate memory' "$@"
    )
}
if (ulimit -v 300000 && "$LATHE_PROGRAM" --version >/dev/null 2>&1); then
    short 300000 merge average long.safetensors -o x.safetensors --threads 1
    short 900000 merge average long.safetensors long.safetensors -o x.safetensors --threads 1 --window 134217728
    nothing_left .
else
    skip "short memory: the program needs more of it to start (sanitizers?)"
fi
rm long.safetensors

# ---- A command that computes an objective and misbehaves ---------------------------------------------------------------------
d=$data/data_core
objective() { # PATTERN COMMAND
    refuse 1 "$1" merge frank_wolfe "$d"/m{0,1}.safetensors --objective-command "$2" --timeout 0.5 -o x.safetensors
    [[ ! -e x.safetensors ]] || fail "written after: $2"
    nothing_left .
}
objective 'took longer than 0.5' 'sleep 60; cat {params}'
objective 'took longer than 0.5' 'trap "" TERM; while :; do sleep 1; done; cat {params}'
objective 'ended by signal 11|status 139' 'kill -SEGV $$; cat {params}'
objective 'ended by signal 9|status 137' 'kill -KILL $$; cat {params}'
objective 'status 127' 'no-such-program-at-all {params}'
objective 'did not write' 'exit 0; cat {params}'
objective 'loss' 'head -c 1000 /dev/urandom >{loss}; cp {params} {gradient}'
objective 'loss' ': >{loss}; cp {params} {gradient}'
objective 'loss.*JSON' 'echo "{\"loss\": 1e999}" >{loss}; cp {params} {gradient}'
objective 'loss' 'echo "{\"loss\": NaN}" >{loss}; cp {params} {gradient}'
objective '[Gg]radient' 'echo "{\"loss\": 1}" >{loss}; head -c 1000 /dev/urandom >{gradient}; : {params}'
objective '[Gg]radient' 'echo "{\"loss\": 1}" >{loss}; head -c 100 {params} >{gradient}'
objective 'status 1; its last words' 'seq 100000; cat {params} >&2; exit 1'

# ---- Devices -------------------------------------------------------------------------------------------------------------------
if "$LATHE_PROGRAM" devices | grep -q '^opencl:'; then
    export OCL_ICD_VENDORS=/nonexistent
    refuse 1 'OpenCL: there is no platform' merge average "$m0" -o x.safetensors --backend opencl
    run 0 devices
    [[ $out != *opencl:0* ]] || fail "a device without a driver: $out"
    unset OCL_ICD_VENDORS
    if "$LATHE_PROGRAM" devices | grep -q '^opencl:0 .*Portable Computing'; then # which can be told to have 1 GB
        plain window.safetensors 1600
        export POCL_MEMORY_LIMIT=1
        refuse 1 'OpenCL: clCreateBuffer of a window: CL_[A-Z_]*' merge average window.safetensors -o x.safetensors --backend opencl --window 400000000
        unset POCL_MEMORY_LIMIT
        rm window.safetensors
    fi
    refuse 2 'opencl:77|device' merge average "$m0" -o x.safetensors --backend opencl:77
    # Kernels cannot be built where the driver cannot write its files: an error that says so, or kernels without a cache.
    status=0
    POCL_CACHE_DIR=/dev/null/none XDG_CACHE_HOME=/dev/null/none "$LATHE_PROGRAM" merge average "$m0" -o x.safetensors --backend opencl >out.txt 2>err.txt || status=$?
    [[ $status == 0 || ($status == 1 && $(<err.txt) == *OpenCL*) ]] || fail "no cache for kernels: $status: $(<err.txt)"
    rm -f x.safetensors
    # PoCL aborts where it finds no linker: nothing is left, and the last line says whose end it is.
    status=0
    PATH=$work/none POCL_CACHE_DIR=$work/kernels XDG_CACHE_HOME=$work/kernels "$LATHE_PROGRAM" merge average "$m0" -o x.safetensors --backend opencl >out.txt 2>err.txt || status=$?
    [[ $status == 0 || ($status == 1 && $(<err.txt) == *OpenCL*) || ($status == 134 && $(<err.txt) == *'a library that the program uses has ended it; nothing was written') ]] ||
        fail "no linker: $status: $(<err.txt)"
    [[ $status == 0 || ! -e x.safetensors ]] || fail "a result without kernels"
    rm -rf x.safetensors kernels
else
    skip "faults of devices: there is no OpenCL here"
fi
nothing_left .
