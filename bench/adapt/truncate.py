#!/usr/bin/env python3
"""Dropping the r smallest singular triplets: Lathe against the way of KaSA's authors and of PEFT, a whole SVD by torch
and the product of what is left. One thread each, processor seconds, the same matrices, the truth from a decomposition
in double. usage: truncate.py PROGRAM [ROWSxCOLS ...]"""
import os
import subprocess
import sys
import tempfile
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
import torch

torch.set_num_threads(1)
REPETITIONS = 3


def matrix(kind, m, n):
    """Gaussian, or with a spectrum like that of a trained weight: a heavy head on that of noise."""
    g = torch.Generator().manual_seed(m + n)
    noise = torch.randn(m, n, generator=g, dtype=torch.float64) / max(m, n) ** 0.5
    if kind == "gauss":
        return noise.float()
    u, s, v = torch.linalg.svd(noise, full_matrices=False)
    s = s * (1 + 12 * torch.arange(1, len(s) + 1, dtype=torch.float64) ** -0.6)
    return ((u * s) @ v).float()


def authors(w, r):
    u, s, v = torch.linalg.svd(w, full_matrices=False)
    k = len(s) - r
    return u[:, :k] @ torch.diag(s[:k]) @ v[:k]


def main():
    program, sizes = sys.argv[1], sys.argv[2:] or ["768x768", "2048x2048", "1024x4096"]
    print("torch", torch.__version__)
    print("| matrix | r | whole SVD, s (error) | float, s (error; bound) | x | double, s (error; bound) | x |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        source, target = os.path.join(folder, "in"), os.path.join(folder, "out")
        for size in sizes:
            m, n = map(int, size.split("x"))
            for kind in ("gauss", "decay"):
                w = matrix(kind, m, n)
                w.numpy().tofile(source)
                u, s, v = torch.linalg.svd(w.double(), full_matrices=False)
                for r in (8, 16):
                    truth = w.double() - (u[:, -r:] * s[-r:]) @ v[-r:]

                    def error(x):
                        return (torch.linalg.norm(x.double() - truth) / torch.linalg.norm(w.double())).item()

                    times = []
                    for _ in range(REPETITIONS):
                        begin = time.process_time()
                        theirs = authors(w, r)
                        times.append(time.process_time() - begin)
                    peer = sorted(times)[REPETITIONS // 2]
                    row = f"| {kind} {size} | {r} | {peer:.3f} ({error(theirs):.1e}) |"
                    for precision in ("float", "double"):
                        out = subprocess.run([program, source, target, str(m), str(n), str(r), precision,
                                              str(REPETITIONS)], check=True, capture_output=True, text=True).stdout
                        seconds, bound, _ = out.split()
                        ours = torch.from_file(target, size=m * n).reshape(m, n)
                        row += f" {float(seconds):.3f} ({error(ours):.1e}; {float(bound):.1e}) |"
                        row += f" {peer / float(seconds):.1f} |"
                    print(row, flush=True)


if __name__ == "__main__":
    main()
