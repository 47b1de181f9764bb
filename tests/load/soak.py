#!/usr/bin/env python3
"""One process that evaluates an objective by a command again and again, for MINUTES: its memory and its descriptors must not
grow; and between, short runs of every command, which must leave nothing behind.

    soak.py PROGRAM [MINUTES]"""
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time

PROGRAM = os.path.abspath(sys.argv[1])
MINUTES = float(sys.argv[2]) if len(sys.argv) > 2 else 30
DATA = pathlib.Path(os.environ.get("LATHE_TEST_DATA", pathlib.Path(__file__).resolve().parent.parent / "data"))
RESULTS = {"texts.txt", "mark.safetensors", "t.safetensors", "c.npy", "r.safetensors", "lora", "a.safetensors"}
CORE = DATA / "merge" / "data_core"


def look(process):
    status = pathlib.Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]), len(os.listdir(f"/proc/{process}/fd"))


with tempfile.TemporaryDirectory() as folder:
    os.environ["TMPDIR"] = folder
    texts, watermark = folder + "/texts.txt", folder + "/mark.safetensors"
    pathlib.Path(texts).write_text("One is here. Two is there. Three is it.\n" * 200)
    subprocess.run([PROGRAM, "watermark", "calibrate", texts, "--fuzzifier", "1.02", "-o", watermark], check=True, capture_output=True)
    command = 'cp {params} {gradient} && echo "{\\"loss\\": 1}" >{loss}'
    long_run = subprocess.Popen([PROGRAM, "merge", "frank_wolfe", *(str(CORE / f"m{i}.safetensors") for i in range(4)),
                                 "--objective-command", command, "--step", "open", "--iters", "1000000000", "--gap-tolerance", "0",
                                 "-o", folder + "/never.safetensors", "--threads", "1", "--quiet"], stderr=subprocess.PIPE, text=True)
    end, samples, rounds, marks = time.time() + 60 * MINUTES, [], 0, DATA / "watermark" / "fcm_blobs" / "X.npy"
    time.sleep(5)
    try:
        while time.time() < end:
            if long_run.poll() is not None:
                sys.exit(f"FAILED: the long run ended: {long_run.stderr.read()}")
            samples.append(look(long_run.pid))
            for words in (["merge", "ties", "--base", CORE / "base.safetensors", CORE / "m0.safetensors", CORE / "m1.safetensors", "-o", folder + "/t.safetensors"],
                          ["cluster", "fit", marks, "--clusters", "3", "--fuzzifier", "2", "-o", folder + "/c.npy"],
                          ["kinship", "--base", CORE / "base.safetensors", CORE / "m0.safetensors", CORE / "m1.safetensors"],
                          ["adapt", "init", "pissa", CORE / "base.safetensors", "--target-modules", "all-linear", "--rank", "2",
                           "--residual", folder + "/r.safetensors", "-o", folder + "/lora"],
                          ["adapt", "merge", folder + "/r.safetensors", "--adapter", folder + "/lora", "-o", folder + "/a.safetensors"],
                          ["watermark", "detect", texts, "--watermark", watermark]):
                subprocess.run([PROGRAM, *map(str, words)], check=True, capture_output=True)
            rounds += 1
            time.sleep(1)
    finally:
        long_run.terminate()
        long_run.wait()
    left = sorted(os.listdir(folder))
warm = samples[len(samples) // 10]
most = max(s[0] for s in samples[len(samples) // 10:]), max(s[1] for s in samples[len(samples) // 10:])
print(f"soak.py, {time.strftime('%F', time.gmtime())}, {os.cpu_count()} processors, {platform.machine()}")
print(f"{MINUTES:g} minutes, {rounds} rounds: resident {warm[0]} kB when warm, {samples[-1][0]} kB at the end, {most[0]} kB at most; "
      f"descriptors {warm[1]}, {samples[-1][1]}, {most[1]}; left behind: {[f for f in left if f not in RESULTS]}")
if most[0] > warm[0] + 2048 or most[1] > warm[1] + 4 or set(left) != RESULTS:
    sys.exit("FAILED: it grows, or something was left behind")
