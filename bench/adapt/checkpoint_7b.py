#!/usr/bin/env python3
"""`lathe adapt init` over a checkpoint with the layers of Llama-2-7B: time by shape, and the memory it takes.

    checkpoint_7b.py [--program build/release/examples/lathe] [--method pissa] [--rank 16] [--layers 32] [--threads 2]
                     [--work FOLDER] [--keep] [-- more flags of lathe adapt init]

Writes a checkpoint of BF16 weights of the real shapes, in shards, with synthetic numbers: noise, and 64 directions that stand
out from it and decay as those of trained weights do; the numbers of two layers, again and again (--distinct). 32 layers take 13.5 GB, and the residual base as much again. Needs numpy.
Prints a table, and the peaks of anonymous memory and of all that is resident (which counts mapped pages of the input) beside
the size of the largest weight in the type that is computed with."""
import argparse
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import time

import numpy

root = pathlib.Path(__file__).resolve().parents[2]
parser = argparse.ArgumentParser(usage=__doc__)
parser.add_argument("--program", default=root / "build/release/examples/lathe")
parser.add_argument("--method", default="pissa")
parser.add_argument("--rank", type=int, default=16)
parser.add_argument("--layers", type=int, default=32)
parser.add_argument("--distinct", type=int, default=2, help="layers with numbers of their own")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("/tmp/lathe-7b"))
parser.add_argument("--keep", action="store_true", help="leave the files, and use a checkpoint that is there")
parser.add_argument("more", nargs="*")
given = parser.parse_args()

hidden, inner, vocabulary = 4096, 11008, 32000
linear = {"self_attn.q_proj": (hidden, hidden), "self_attn.k_proj": (hidden, hidden), "self_attn.v_proj": (hidden, hidden),
          "self_attn.o_proj": (hidden, hidden), "mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden),
          "mlp.down_proj": (hidden, inner)}
random = numpy.random.default_rng(7)


def bf16(x):
    return ((x.view(numpy.uint32) + 0x8000) >> 16).astype(numpy.uint16)


def weight(rows, cols):
    """Rows of BF16, some hundred at a time."""
    k = 64
    directions = random.standard_normal((k, cols), dtype=numpy.float32) / numpy.float32(cols**0.5)
    for first in range(0, rows, 1024):
        n = min(1024, rows - first)
        part = (random.random((n, cols), dtype=numpy.float32) - numpy.float32(0.5)) * numpy.float32(0.07)
        left = random.standard_normal((n, k), dtype=numpy.float32) / numpy.float32(rows**0.5)
        yield bf16(part + (left * (60 / numpy.sqrt(numpy.arange(1, k + 1, dtype=numpy.float32)))) @ directions)


def write(path, tensors, like=None):
    """tensors: {name: shape}; with the numbers of another file, if one is given"""
    header, at = {}, 0
    for name, shape in tensors.items():
        size = 2 * int(numpy.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        if like is not None:
            with open(like, "rb") as other:
                other.seek(8 + struct.unpack("<Q", other.read(8))[0])
                shutil.copyfileobj(other, out, 1 << 24)
            return
        for name, shape in tensors.items():
            if len(shape) == 1:
                out.write(bf16(numpy.ones(shape, numpy.float32)).tobytes())
            else:
                for rows in weight(*shape):
                    out.write(rows.tobytes())


def make(folder):
    folder.mkdir(parents=True)
    shards = []
    for i in range(given.layers):
        shard = {f"model.layers.{i}.{name}.weight": shape for name, shape in linear.items()}
        shard |= {f"model.layers.{i}.{norm}.weight": [hidden] for norm in ("input_layernorm", "post_attention_layernorm")}
        shards.append(shard)
    shards.append({"model.embed_tokens.weight": (vocabulary, hidden), "lm_head.weight": (vocabulary, hidden),
                   "model.norm.weight": [hidden]})
    places = {}
    for i, shard in enumerate(shards, 1):
        name = f"model-{i:05}-of-{len(shards):05}.safetensors"
        same = (i - 1) % given.distinct + 1
        write(folder / name, shard,
              folder / f"model-{same:05}-of-{len(shards):05}.safetensors" if given.distinct < i <= given.layers else None)
        places |= dict.fromkeys(shard, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


base, residual, adapter = (given.work / name for name in ("base", "residual", "adapter"))
if not (base / "model.safetensors.index.json").exists():
    needed = 2.2 * (given.layers * 405e6 + 525e6)
    given.work.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(given.work).free < needed:
        sys.exit(f"{given.work}: found {shutil.disk_usage(given.work).free / 1e9:.0f} GB free, expected {needed / 1e9:.0f} GB")
    started = time.time()
    make(base)
    print(f"made {base} in {time.time() - started:.0f} s", file=sys.stderr)
changes = given.method in ("pissa", "pissa_fast", "milora", "olora", "loftq", "kasa")
command = [given.program, "adapt", "init", given.method, base, "--target-modules", "all-linear", "--rank", given.rank,
           "-o", adapter, "--threads", given.threads, "--report", given.work / "report.json", "--quiet",
           *(["--residual", residual, "--max-shard-size", "5GB"] if changes else []), *given.more]
started = time.time()
running = subprocess.Popen([str(c) for c in command])
peak = {"RssAnon": 0, "VmHWM": 0}
while running.poll() is None:
    try:
        for line in open(f"/proc/{running.pid}/status"):
            key = line.split(":")[0]
            if key in peak:
                peak[key] = max(peak[key], int(line.split()[1]))
    except OSError:
        pass
    time.sleep(0.05)
seconds = time.time() - started
if running.returncode != 0:
    sys.exit(f"lathe ended with status {running.returncode}")
report = json.loads((given.work / "report.json").read_text())
rows = {}
for w in report["weights"]:
    rows.setdefault(tuple(w["shape"]), []).append(w)
print(f"{given.method}, rank {given.rank}, {given.layers} layers, {given.threads} threads: {len(report['weights'])} weights in "
      f"{seconds:.0f} s; resumed: {report['resumed']}\n")
print("| shape | weights | mean s | largest s | energy kept | largest error bound | not converged |\n|---|---|---|---|---|---|---|")


def extreme(f, values):
    values = [v for v in values if v is not None]
    return f"{f(values):.3g}" if values else "-"


for shape, found in sorted(rows.items()):
    times = [w["seconds"] for w in found]
    print(f"| {shape[0]} x {shape[1]} | {len(found)} | {sum(times) / len(times):.2f} | {max(times):.2f} | "
          f"{extreme(min, [w['energy_kept'] for w in found])} | {extreme(max, [w['error_bound'] for w in found])} | "
          f"{sum(w['status'] != 'converged' for w in found)} |")
largest = 4 * max(int(numpy.prod(w["shape"])) for w in report["weights"])
print(f"\nlargest weight in F32 {largest / 1e6:.0f} MB; peak of anonymous memory {peak['RssAnon'] / 1e3:.0f} MB, of resident memory "
      f"{peak['VmHWM'] / 1e3:.0f} MB")
if not given.keep:
    shutil.rmtree(given.work)
