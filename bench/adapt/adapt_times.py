#!/usr/bin/env python3
"""What adapters cost, Lathe against torch run as the published codes run it. One thread each, processor seconds, the same
matrices, one after the other; the truth from a decomposition in double.

smallest  the weight without its r smallest singular triplets: KaSA's authors and PEFT decompose all of it in float and
          multiply what is left
largest   PiSSA's residual: PEFT decomposes all of it
loss      KaSA's auxiliary loss and gradient: its authors form inputs x inputs and outputs x outputs matrices
combine   the best rank r of a sum of adapters: PEFT's add_weighted_adapter decomposes the dense sum

usage: adapt_times.py PROGRAM [--cache FOLDER] [--sizes ROWSxCOLS,...] [--ranks R,...] [PART ...]"""
import argparse
import os
import subprocess
import tempfile
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
import torch

torch.set_num_threads(1)


def blas():
    """Who does torch's arithmetic: with the reference BLAS its decompositions take ten times as long."""
    torch.ones(2, 2) @ torch.ones(2, 2)
    maps = open("/proc/self/maps").read()
    return next((name for name in ("openblas", "mkl", "blis") if name in maps), "reference BLAS: times of no worth")


def matrix(kind, m, n):
    """Gaussian, or with a spectrum like that of a trained weight: a heavy head on that of noise."""
    g = torch.Generator().manual_seed(m + n)
    noise = torch.randn(m, n, generator=g, dtype=torch.float64) / max(m, n) ** 0.5
    if kind == "gauss":
        return noise.float()
    u, s, v = torch.linalg.svd(noise, full_matrices=False)
    s = s * (1 + 12 * torch.arange(1, len(s) + 1, dtype=torch.float64) ** -0.6)
    return ((u * s) @ v).float()


def timed(f):
    begin = time.process_time()
    result = f()
    return time.process_time() - begin, result


def relative(x, truth, of):
    return (torch.linalg.norm(x.double() - truth) / torch.linalg.norm(of.double())).item()


def prepared(folder, kind, m, n):
    """The matrix, its file, and 128 triplets at both ends in double; kept in the folder."""
    path = os.path.join(folder, f"{kind}_{m}x{n}")
    if not os.path.exists(path + ".pt"):
        w = matrix(kind, m, n)
        w.numpy().tofile(path + ".bin")
        u, s, v = torch.linalg.svd(w.double(), full_matrices=False)
        ends = {end: (u[:, at].clone(), s[at].clone(), v[at].clone())
                for end, at in (("smallest", slice(-128, None)), ("largest", slice(0, 128)))}
        torch.save(ends, path + ".pt")
    w = torch.from_file(path + ".bin", size=m * n).reshape(m, n)
    return path + ".bin", w, torch.load(path + ".pt")


def spectra(call, folder, target, end, sizes, ranks, kinds):
    print(f"\n{end}\n\n| matrix | r | torch, s (error) | to 1e-6, s (error; bound) | x | to 1e-9, s (error; bound) | x |")
    print("|---|---|---|---|---|---|---|")
    for m, n in sizes:
        for kind in kinds:
            source, w, ends = prepared(folder, kind, m, n)
            u, s, v = ends[end]
            repetitions = 1 if min(m, n) > 2048 else 3
            runs = sorted((timed(lambda: torch.linalg.svd(w, full_matrices=False)) for _ in range(repetitions)),
                          key=lambda run: run[0])
            decomposition, (a, b, c) = runs[len(runs) // 2]
            for r in ranks:
                def rest():
                    if end == "smallest":
                        k = len(b) - r
                        return a[:, :k] @ torch.diag(b[:k]) @ c[:k]
                    root = torch.diag(torch.sqrt(b[:r]))
                    return w - (a[:, :r] @ root) @ (root @ c[:r])

                keep = slice(-r, None) if end == "smallest" else slice(0, r)
                truth = w.double() - (u[:, keep] * s[keep]) @ v[keep]
                seconds, result = timed(rest)
                peer = decomposition + seconds
                row = f"| {kind} {m}x{n} | {r} | {peer:.3f} ({relative(result, truth, w):.1e}) |"
                for tolerance in ("1e-6", "1e-9"):
                    seconds, bound, _ = call(end, source, target, m, n, r, tolerance, 3).split()
                    ours = torch.from_file(target, size=m * n).reshape(m, n)
                    row += (f" {float(seconds):.3f} ({relative(ours, truth, w):.1e}; {float(bound):.1e}) |"
                            f" {peer / float(seconds):.1f} |")
                print(row, flush=True)


def losses(call, folder, ranks):
    print("\nloss\n\n| n | r | torch, ms (error) | ours, ms (error) | x |\n|---|---|---|---|---|")
    n = 4096
    for r in ranks:
        a = torch.randn(r, n) / n ** 0.5
        b = torch.randn(n, r) / n ** 0.5
        files = [os.path.join(folder, name) for name in ("a", "b")]
        for x, file in zip((a, b), files):
            x.numpy().tofile(file)

        def theirs():
            x, y = a.clone().requires_grad_(), b.clone().requires_grad_()
            loss = torch.norm(x.T @ x - torch.eye(n), p="fro") + torch.norm(y @ y.T - torch.eye(n), p="fro")
            loss.backward()
            return loss.item()

        exact = sum((torch.linalg.norm(g - torch.eye(r, dtype=torch.float64)) ** 2 + n - r) ** 0.5
                    for g in (a.double() @ a.double().T, b.double().T @ b.double())).item()
        peer, value = sorted(timed(theirs) for _ in range(3))[1]
        seconds, ours = map(float, call("loss", *files, n, r, 101).split())
        print(f"| {n} | {r} | {1e3 * peer:.1f} ({abs(value - exact) / exact:.1e}) |"
              f" {1e3 * seconds:.4f} ({abs(ours - exact) / exact:.1e}) | {peer / seconds:.0f} |", flush=True)


def combinations(call, folder, target):
    print("\ncombine (ranks 16, 16, 32 to 32)\n\n| n | torch, s | ours, s (difference) | x |\n|---|---|---|---|")
    ranks, r = (16, 16, 32), 32
    for n in (1024, 2048):
        files = [os.path.join(folder, name) for name in ("a", "b")]
        a = [torch.randn(k, n) / n ** 0.5 for k in ranks]
        b = [torch.randn(n, k) for k in ranks]
        torch.cat([x.flatten() for x in a]).numpy().tofile(files[0])
        torch.cat([x.flatten() for x in b]).numpy().tofile(files[1])

        def theirs():
            dense = sum(y @ x for x, y in zip(a, b))
            u, s, v = torch.linalg.svd(dense, full_matrices=True) # as PEFT
            return (u[:, :r] @ torch.diag(s[:r])) @ v[:r]

        peer, product = timed(theirs)
        seconds = float(call("combine", *files, target, n, r, 11, *ranks))
        ours = torch.from_file(target, size=n * n).reshape(n, n)
        print(f"| {n} | {peer:.3f} | {seconds:.5f} ({relative(ours, product.double(), product):.1e}) |"
              f" {peer / seconds:.0f} |", flush=True)


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("program")
    p.add_argument("parts", nargs="*", default=["smallest", "largest", "loss", "combine"])
    p.add_argument("--cache")
    p.add_argument("--sizes", default="768x768,2048x2048,1024x4096")
    p.add_argument("--ranks", default="8,16")
    p.add_argument("--kinds", default="gauss,decay")
    o = p.parse_args()
    sizes = [tuple(map(int, size.split("x"))) for size in o.sizes.split(",")]
    ranks = list(map(int, o.ranks.split(",")))
    print("torch", torch.__version__, "with", blas())

    def call(*args):
        return subprocess.run([o.program, *map(str, args)], check=True, capture_output=True, text=True).stdout

    with tempfile.TemporaryDirectory() as temporary:
        folder, target = o.cache or temporary, os.path.join(temporary, "out")
        for part in o.parts or ["smallest", "largest", "loss", "combine"]:
            if part in ("smallest", "largest"):
                kinds = o.kinds.split(",") if part == "smallest" else ["decay"] # a Gaussian has no largest few
                spectra(call, folder, target, part, sizes, ranks, kinds)
            elif part == "loss":
                losses(call, temporary, ranks)
            elif part == "combine":
                combinations(call, temporary, target)
            else:
                p.error("no part " + part)


if __name__ == "__main__":
    main()
