#!/usr/bin/env python3
"""The merging operations as the published tools do them, with the same torch calls, on one thread.

    torch_peer.py OPERATION DIRECTORY [--models 4] [--repeat 1]

Reads base.safetensors and m0..m3.safetensors into memory, then times the operation alone and prints one JSON line:
{"operation", "cpu_seconds", "wall_seconds", "peak_rss_mib"}. What each operation does, call by call:

linear            mergekit: per tensor, stack the models, multiply by the weights, sum, divide by the sum of the weights
task_arithmetic   mergekit: per tensor, task vectors, stack, weigh, sum, add to the base
ties              mergekit: per tensor, task vectors, keep the largest by a full argsort, elect signs by sum, average
frank_wolfe       fusion_bench (0.2.33, fw_hard): per tensor and candidate a cosine with the gradient, a copy of the best so far,
                  then its task arithmetic towards it: difference, product, sum, and the new state copied into the model
kinship           ModelKinship: concatenated task vectors in numpy; Pearson, cosine, Euclid
"""
import argparse
import json
import os
import resource
import sys
import time

import numpy as np
import torch


def load(path):
    types = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    with open(path, "rb") as f:
        size = int.from_bytes(f.read(8), "little")
        header = json.loads(f.read(size))
        out = {}
        for name, t in header.items():
            if name == "__metadata__":
                continue
            first, last = t["data_offsets"]
            f.seek(8 + size + first)
            out[name] = torch.frombuffer(bytearray(f.read(last - first)), dtype=types[t["dtype"]]).reshape(t["shape"])
    return out


def linear(base, models):
    out = {}
    for name in base:
        tensors = torch.stack([m[name] for m in models], dim=0)
        weights = torch.tensor([1.0] * len(models), dtype=tensors.dtype).view([-1] + [1] * (tensors.dim() - 1))
        out[name] = (weights * tensors).sum(dim=0) / weights.sum(dim=0)
    return out


def task_vectors(base, models, name):
    return torch.stack([m[name] - base[name] for m in models], dim=0)


def task_arithmetic(base, models):
    out = {}
    for name in base:
        deltas = task_vectors(base, models, name)
        weights = torch.tensor([0.3] * len(models), dtype=deltas.dtype).view([-1] + [1] * (deltas.dim() - 1))
        out[name] = base[name] + (weights * deltas).sum(dim=0)
    return out


def ties(base, models, density=0.2):
    out = {}
    for name in base:
        deltas = []
        for m in models:
            delta = m[name] - base[name]
            keep = int(density * delta.numel())
            mask = torch.zeros_like(delta)
            order = torch.argsort(delta.abs().view(-1), descending=True)
            mask.view(-1)[order[:keep]] = 1
            deltas.append(delta * mask)
        deltas = torch.stack(deltas, dim=0)
        sign = (deltas.sum(dim=0) >= 0).to(deltas.dtype) * 2 - 1
        agree = deltas.sign() == sign
        weights = torch.ones([len(models)] + [1] * (deltas.dim() - 1), dtype=deltas.dtype)
        divisor = (weights * agree).sum(dim=0)
        divisor[divisor == 0] = 1
        out[name] = base[name] + (deltas * agree).sum(dim=0) / divisor
    return out


def frank_wolfe(state, gradient, models, scaling=0.3, step=1.0):
    least, chosen = float("inf"), None
    for m in models:
        score = 0
        for name, c in m.items():
            g = gradient[name]
            score = score + torch.dot(g.flatten(), c.flatten()) / (torch.norm(g) * torch.norm(c))
        if score < least:
            least, chosen = score, {name: c.clone() for name, c in m.items()}
    delta = {name: chosen[name] - state[name] for name in state}
    delta = {name: scaling * step * d for name, d in delta.items()}
    moved = {name: state[name] + delta[name] for name in state}
    for name in state:
        state[name].copy_(moved[name])


def kinship(base, models):
    x = torch.cat([(models[0][n] - base[n]).flatten() for n in base]).numpy()
    y = torch.cat([(models[1][n] - base[n]).flatten() for n in base]).numpy()
    pearson = np.corrcoef(x, y)[0, 1]
    cosine = np.sqrt(np.dot(x, y) ** 2 / (np.dot(x, x) * np.dot(y, y)))
    return float(pearson), float(cosine), float(np.linalg.norm(x - y))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("operation", choices=["linear", "task_arithmetic", "ties", "frank_wolfe", "kinship"])
    p.add_argument("directory")
    p.add_argument("--models", type=int, default=4)
    p.add_argument("--repeat", type=int, default=1)
    a = p.parse_args()
    torch.set_num_threads(1)
    base = load(os.path.join(a.directory, "base.safetensors"))
    models = [load(os.path.join(a.directory, f"m{k}.safetensors")) for k in range(a.models)]
    run = {
        "linear": lambda: linear(base, models),
        "task_arithmetic": lambda: task_arithmetic(base, models),
        "ties": lambda: ties(base, models),
        "frank_wolfe": lambda: frank_wolfe(base, models[0], models[1:] + models[:1]),
        "kinship": lambda: kinship(base, models),
    }[a.operation]
    best_cpu = best_wall = float("inf")
    with torch.no_grad():
        for _ in range(a.repeat):
            cpu, wall = time.process_time(), time.perf_counter()
            run()
            best_cpu = min(best_cpu, time.process_time() - cpu)
            best_wall = min(best_wall, time.perf_counter() - wall)
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    json.dump({"operation": a.operation, "cpu_seconds": best_cpu, "wall_seconds": best_wall, "peak_rss_mib": round(rss)}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
