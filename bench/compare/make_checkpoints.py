#!/usr/bin/env python3
"""Write a base and N fine-tuned checkpoints of BERT-base's shapes (123.7 M parameters) as safetensors files.

    make_checkpoints.py DIRECTORY [--models 4] [--dtype F32|BF16|F16] [--scale 1]

Needs numpy only: the format is a length, a JSON header and the bytes. Fine-tuned models are the base plus noise of a
fiftieth of its size, as fine-tuning leaves them. `--scale 0.1` keeps a tenth of the rows of each matrix.
"""
import argparse
import json
import os

import numpy as np


def shapes(scale):
    def rows(n):
        return max(1, int(n * scale))
    yield "embeddings.word.weight", (rows(50265), 768)
    yield "embeddings.position.weight", (512, 768)
    for layer in range(12):
        for part in ("query", "key", "value", "output"):
            yield f"layers.{layer}.attention.{part}.weight", (rows(768), 768)
            yield f"layers.{layer}.attention.{part}.bias", (768,)
        yield f"layers.{layer}.mlp.up.weight", (rows(3072), 768)
        yield f"layers.{layer}.mlp.up.bias", (3072,)
        yield f"layers.{layer}.mlp.down.weight", (rows(768), 3072)
        yield f"layers.{layer}.mlp.down.bias", (768,)
        for norm in ("attention_norm", "mlp_norm"):
            yield f"layers.{layer}.{norm}.weight", (768,)
            yield f"layers.{layer}.{norm}.bias", (768,)


def encode(values, dtype):
    if dtype == "F32":
        return values.astype("<f4").tobytes()
    if dtype == "F16":
        return values.astype("<f2").tobytes()
    bits = values.astype("<f4").view("<u4")
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()


def write(path, seed, base_seed, dtype, scale):
    width = {"F32": 4, "F16": 2, "BF16": 2}[dtype]
    header, offset = {}, 0
    for name, shape in shapes(scale):
        size = int(np.prod(shape)) * width
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    base, noise = np.random.default_rng(base_seed), np.random.default_rng(seed)
    with open(path + ".part", "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for _, shape in shapes(scale):
            values = base.standard_normal(shape, dtype=np.float32) * np.float32(0.02)
            if seed != base_seed:
                values += noise.standard_normal(shape, dtype=np.float32) * np.float32(0.0004)
            f.write(encode(values, dtype))
    os.replace(path + ".part", path)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("directory")
    p.add_argument("--models", type=int, default=4)
    p.add_argument("--dtype", choices=["F32", "BF16", "F16"], default="F32")
    p.add_argument("--scale", type=float, default=1.0)
    a = p.parse_args()
    os.makedirs(a.directory, exist_ok=True)
    for k in range(a.models + 1):
        path = os.path.join(a.directory, "base.safetensors" if k == 0 else f"m{k - 1}.safetensors")
        if not os.path.exists(path):
            write(path, 1000 + k, 1000, a.dtype, a.scale)


if __name__ == "__main__":
    main()
